/** The table of media. */
import { request } from '../api/client.ts';
import { at } from '../api/root.ts';
import type { Media } from '../api/types.ts';
import { actionButton } from '../ui/button.ts';
import { confirmed } from '../ui/dialog.ts';
import { h } from '../ui/dom.ts';
import { ago, dateTime, duration, percent, size } from '../ui/format.ts';
import { emptyState } from '../ui/page.ts';
import { picture } from '../ui/picture.ts';
import { statusBadge } from '../ui/status.ts';
import { createLiveTable, type LiveTable } from './live-table.ts';

export const MEDIA_FILTERS = ['uploading', 'processing', 'playable', 'ready', 'failed', 'cancelled'];

/** `isAdmin`: may do what owners may not. */
export function createMediaTable(isAdmin: boolean): LiveTable<Media> {
  return createLiveTable<Media>({
    path: '/api/media',
    label: 'Media',
    columns: ['Media', 'Status', 'Owner', 'Length', 'Created', ''],
    cells: (media) => [
      nameOf(media),
      statusOf(media),
      media.owner,
      lengthOf(media),
      created(media.createdAt),
      actions(media, isAdmin),
    ],
    matches: (media, { status, q }) => (!status || media.status === status) && (!q || matchesText(media, q)),
    empty: ({ status, q }) =>
      status || q
        ? emptyState('No media like that', 'Choose another status or search for something else.')
        : emptyState(
            'No media yet',
            h('a', { href: at('/') }, 'Upload'),
            ' a video or a sound file, and it appears here.',
          ),
  });
}

const matchesText = (media: Media, q: string): boolean =>
  [media.title, media.filename ?? ''].some((text) => text.toLowerCase().includes(q.toLowerCase()));

export const created = (time: string | number): HTMLElement =>
  h('time', { title: dateTime(time) }, ago(time));

function nameOf(media: Media): HTMLElement {
  const thumbnail = h('span', { class: 'thumbnail small' });
  thumbnail.append(picture(thumbnail, media));
  return h(
    'span',
    { class: 'media-name' },
    thumbnail,
    h(
      'a',
      {
        class: 'truncate',
        dir: 'auto',
        href: at(`/watch/${media.id}`),
        title: media.title,
        'data-focus': 'name',
      },
      media.title || 'Untitled',
    ),
  );
}

function statusOf(media: Media): HTMLElement {
  const { progress, status, error } = media;
  const busy = ['uploading', 'processing', 'playable'].includes(status) && progress;
  return h(
    'span',
    { class: 'status-cell' },
    statusBadge(status),
    busy
      ? h('progress', { class: 'bar', max: 100, value: progress.percent, 'aria-label': 'Progress' })
      : null,
    busy ? h('span', { class: 'muted number' }, percent(progress.percent)) : null,
    error ? h('span', { class: 'muted truncate note', title: error.message }, errorText(media)) : null,
  );
}

/** A media that plays although it has an error plays from elsewhere. */
function errorText({ status, error }: Media): string | undefined {
  return status === 'failed' ? error?.message : `Only at Stream. ${error?.message ?? ''}`;
}

/** It plays from Stream alone, and what was uploaded is there: our FFmpeg can encode it, too. */
const mayEncodeHere = ({ status, encoder, error, sourceDeletedAt }: Media): boolean =>
  status === 'ready' && !sourceDeletedAt && (encoder === 'stream' || (encoder === 'both' && !!error));

function lengthOf({ source, upload }: Media): HTMLElement {
  const bytes = source?.size ?? upload?.length;
  const parts = [source ? duration(source.duration) : '', bytes ? size(bytes) : ''].filter(Boolean);
  return h('span', { class: 'number' }, parts.join(' · ') || '–');
}

function actions(media: Media, isAdmin: boolean): HTMLElement {
  const focusable = (element: HTMLElement, name: string): HTMLElement => {
    element.dataset.focus = name;
    return element;
  };
  const post = (verb: string) => () => request<void>('POST', `/api/media/${media.id}/${verb}`);
  const unfinished = ['uploading', 'live', 'processing'].includes(media.status);
  return h(
    'span',
    { class: 'cell-actions' },
    media.status === 'failed' &&
      focusable(actionButton({ label: 'Retry', icon: 'retry', kind: 'quiet', run: post('retry') }), 'retry'),
    isAdmin &&
      mayEncodeHere(media) &&
      focusable(
        actionButton({ label: 'Encode here', icon: 'film', kind: 'quiet', run: () => encodeHere(media) }),
        'encode',
      ),
    unfinished &&
      focusable(
        actionButton({ label: 'Cancel', icon: 'close', kind: 'quiet', run: post('cancel') }),
        'cancel',
      ),
    !unfinished &&
      focusable(
        actionButton({ label: 'Delete', icon: 'trash', kind: 'quiet', run: () => remove(media) }),
        'delete',
      ),
  );
}

const encodeHere = (media: Media): Promise<void> =>
  request('POST', `/api/media/${media.id}/retry`, { encoder: 'ffmpeg' });

async function remove(media: Media): Promise<void> {
  if (!(await confirmed('Delete this media?', `“${media.title}” can’t be brought back.`, 'Delete'))) return;
  await request('DELETE', `/api/media/${media.id}`);
}
