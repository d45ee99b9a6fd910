/** What is in the player's place while there is nothing to play: progress, a failure, or where it went. */
import { request } from '../api/client.ts';
import type { Job, Media } from '../api/types.ts';
import { actionButton } from '../ui/button.ts';
import { h, type Child } from '../ui/dom.ts';
import { icon } from '../ui/icons.ts';
import { badge } from '../ui/status.ts';
import { mayBeRetried, viewOf } from '../upload/view.ts';

/** The stage of a media that can't be played (yet). */
export function stage(media: Media, jobs: Job[], mayChange: boolean): HTMLElement {
  const view = viewOf({ media, jobs });
  if (media.status === 'failed') return failed(media, mayChange);
  if (media.status === 'cancelled') return frame('close', h('p', {}, 'This upload was cancelled.'));
  const bar = h('progress', { class: 'bar', max: 100, 'aria-label': view.label });
  if (typeof view.bar === 'number') bar.value = view.bar;
  return frame(
    'wheel',
    h('p', { class: 'stage-status' }, badge(view.label, view.tone)),
    bar,
    h('p', { class: 'muted', 'aria-live': 'polite' }, view.detail || 'Working …'),
    h('p', { class: 'muted' }, 'It starts by itself as soon as it can be played.'),
  );
}

function failed(media: Media, mayChange: boolean): HTMLElement {
  const again = actionButton({
    label: 'Try again',
    icon: 'retry',
    run: () => request('POST', `/api/media/${media.id}/retry`),
  });
  return frame(
    'alert',
    h('p', { class: 'stage-title' }, 'This could not be made playable'),
    h('p', { role: 'alert' }, media.error?.message ?? 'Nobody said why.'),
    media.error && h('p', {}, h('code', {}, media.error.code)),
    mayChange && mayBeRetried(media) && again,
  );
}

function frame(name: 'wheel' | 'alert' | 'close', ...children: Child[]): HTMLElement {
  return h('div', { class: `stage${name === 'wheel' ? ' busy' : ''}` }, icon(name, 44), ...children);
}
