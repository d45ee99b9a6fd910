/** One word and one colour for each status, everywhere the same. */
import type { JobStatus, MediaStatus } from '../api/types.ts';
import { h } from './dom.ts';

export type Tone = 'busy' | 'good' | 'bad' | 'quiet';

const TONES: Record<MediaStatus | JobStatus, Tone> = {
  uploading: 'busy',
  live: 'busy',
  processing: 'busy',
  playable: 'good',
  ready: 'good',
  failed: 'bad',
  cancelled: 'quiet',
  queued: 'quiet',
  running: 'busy',
  succeeded: 'good',
};

/** The tone of a status. */
export const toneOf = (status: MediaStatus | JobStatus): Tone => TONES[status];

/** `Processing` in a coloured pill. */
export function badge(label: string, tone: Tone): HTMLElement {
  return h('span', { class: `badge ${tone}` }, label);
}

/** The pill of a media or job status. */
export function statusBadge(status: MediaStatus | JobStatus): HTMLElement {
  return badge(status[0]!.toUpperCase() + status.slice(1), toneOf(status));
}
