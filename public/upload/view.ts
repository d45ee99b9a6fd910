/** What a row shows, worked out from what is known of a media: no elements here. */
import type { Job, JobStatus, Media, Progress } from '../api/types.ts';
import { duration, percent, size, timeLeft } from '../ui/format.ts';
import type { Tone } from '../ui/status.ts';
import type { LocalUpload } from './local-upload.ts';

export type ActionName = 'pause' | 'resume' | 'send-again' | 'cancel-upload' | 'cancel' | 'retry' | 'delete';

export interface RowView {
  title: string;
  label: string;
  tone: Tone;
  /** Facts beside the label. */
  detail: string;
  /** 0 to 100; undefined: busy, but nobody knows how far; null: no bar. */
  bar: number | undefined | null;
  steps: { label: string; tone: Tone; done: boolean }[];
  error?: string;
  watch: boolean;
  actions: ActionName[];
}

export interface RowState {
  media?: Media | undefined;
  local?: LocalUpload | undefined;
  jobs: Job[];
}

/** One of media and local is there; an upload by this tab wins until it is through. */
export function viewOf({ media, local, jobs }: RowState): RowView {
  if (local && (!media || media.status === 'uploading')) return localView(local);
  if (!media) throw new Error('a row without anything to show');
  const base = { title: media.title || media.filename || 'Untitled', bar: null, steps: [], watch: false };
  switch (media.status) {
    case 'uploading':
      return { ...base, ...uploadingView(media) };
    case 'live':
      return { ...base, label: 'Live', tone: 'busy', detail: '', actions: [] };
    case 'processing':
      return { ...base, ...processingView(media, jobs), label: 'Processing', actions: ['cancel'] };
    case 'playable':
      return {
        ...base,
        ...processingView(media, jobs),
        label: 'Playable',
        tone: 'good',
        watch: true,
        actions: ['delete'],
      };
    case 'ready':
      return {
        ...base,
        label: 'Ready',
        tone: 'good',
        detail: factsOf(media),
        watch: true,
        actions: ['delete'],
      };
    case 'failed':
      return {
        ...base,
        label: 'Failed',
        tone: 'bad',
        detail: '',
        error: media.error?.message ?? 'It failed, and nobody said why.',
        actions: [...(mayBeRetried(media) ? (['retry'] as const) : []), 'delete'],
      };
    case 'cancelled':
      return { ...base, label: 'Cancelled', tone: 'quiet', detail: '', actions: ['delete'] };
  }
}

/** Failures of the file itself: it is of no kind that can be taken, and will be the same the next time. */
const OF_THE_FILE = ['empty_file', 'not_media', 'no_streams', 'unsupported_format'];

/** Whether another attempt at a failed media may end otherwise. */
export const mayBeRetried = ({ error }: Pick<Media, 'error'>): boolean =>
  !OF_THE_FILE.includes(error?.code ?? '');

function localView(local: LocalUpload): RowView {
  const done = local.size ? (local.sent / local.size) * 100 : 0;
  const view = { title: local.name, bar: done, steps: [], watch: false, detail: sentOf(local) };
  switch (local.state) {
    case 'queued':
      return { ...view, label: 'Waiting its turn', tone: 'quiet', actions: ['cancel-upload'] };
    case 'sending':
      return { ...view, label: 'Uploading', tone: 'busy', actions: ['pause', 'cancel-upload'] };
    case 'waiting':
      return {
        ...view,
        label: 'Waiting for the connection',
        tone: 'quiet',
        actions: ['pause', 'cancel-upload'],
      };
    case 'paused':
      return { ...view, label: 'Paused', tone: 'quiet', actions: ['resume', 'cancel-upload'] };
    case 'failed':
      return {
        ...view,
        label: 'Stopped',
        tone: 'bad',
        error: local.message ?? 'The upload stopped.',
        actions: ['send-again', 'cancel-upload'],
      };
  }
}

function sentOf({ sent, size: whole, bytesPerSecond, state }: LocalUpload): string {
  const parts = [`${percent(whole ? (sent / whole) * 100 : 0)} of ${size(whole)}`];
  if (state === 'sending' && bytesPerSecond)
    parts.push(`${size(Math.round(bytesPerSecond))}/s`, timeLeft((whole - sent) / bytesPerSecond));
  return parts.join(' · ');
}

function uploadingView(media: Media): Pick<RowView, 'label' | 'tone' | 'detail' | 'bar' | 'actions'> {
  const { offset = 0, length } = media.upload ?? {};
  return {
    label: 'Uploading',
    tone: 'busy',
    detail: length ? `${percent((offset / length) * 100)} of ${size(length)}` : size(offset),
    bar: length ? (offset / length) * 100 : undefined,
    actions: ['cancel'],
  };
}

function processingView(media: Media, jobs: Job[]): Pick<RowView, 'tone' | 'detail' | 'bar' | 'steps'> {
  const running = jobs.filter((j) => j.status === 'running' && j.progress);
  const of = (task: string) => running.find((j) => j.task === task)?.progress;
  const progress = of('ladder') ?? of('first') ?? media.progress ?? running[0]?.progress;
  const idle = jobs.length > 0 && jobs.every((j) => j.status !== 'running');
  const waits = idle && (!progress || (!progress.percent && jobs.some((j) => j.status === 'queued')));
  return {
    tone: 'busy',
    detail: waits ? 'Waiting for a worker' : progress ? progressText(progress) : factsOf(media),
    bar: progress?.percent,
    steps: stepsOf(jobs),
  };
}

/** `Encoding 720p, 480p · 45% · 2.3× real time`. */
export function progressText({ stage, percent: done, speed }: Progress): string {
  return [stage, percent(done), speed ? `${Number(speed.toFixed(1))}× real time` : '']
    .filter(Boolean)
    .join(' · ');
}

const STEP_LABELS: Record<string, string> = {
  probe: 'Check',
  copy: 'Copy',
  first: 'First',
  ladder: 'Encode',
  poster: 'Poster',
};
const STEP_ORDER = Object.keys(STEP_LABELS);

/** Jobs to which `first` and `ladder` leave their work, when a video is encoded in parts. */
const isOpenPart = ({ task, status }: Job): boolean =>
  (task === 'chunk' || task === 'join') && (status === 'queued' || status === 'running');
const JOB_TONES: Record<JobStatus, Tone> = {
  queued: 'quiet',
  running: 'busy',
  succeeded: 'good',
  failed: 'bad',
  cancelled: 'quiet',
};

function stepsOf(jobs: Job[]): RowView['steps'] {
  const latest = STEP_ORDER.map((task) =>
    jobs.filter((j) => j.task === task).sort((a, b) => (a.id < b.id ? 1 : -1)),
  ).flatMap(([job]) => job ?? []);
  const divided = jobs.some(isOpenPart)
    ? latest.findLast(({ task, status }) => (task === 'first' || task === 'ladder') && status === 'succeeded')
    : undefined;
  return latest.map((job) => {
    const tone = job === divided ? 'busy' : JOB_TONES[job.status];
    return { label: STEP_LABELS[job.task]!, tone, done: tone === 'good' };
  });
}

/** `0:30 · 854 × 480 · 1.4 MB`, as far as it is known. */
export function factsOf({ source }: Media): string {
  if (!source) return '';
  const { video } = source;
  return [
    duration(source.duration),
    video ? `${video.width} × ${video.height}` : 'Sound',
    size(source.size),
  ].join(' · ');
}
