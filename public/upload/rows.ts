/** The list below the drop area: what this tab uploads and the latest media of the owner, one row each. */
import { ApiError, request, withQuery } from '../api/client.ts';
import type { FeedEvent } from '../api/feed.ts';
import { createRefresher } from '../api/refresher.ts';
import type { Job, Media, Page, Progress } from '../api/types.ts';
import { actionButton } from '../ui/button.ts';
import { confirmed } from '../ui/dialog.ts';
import { h } from '../ui/dom.ts';
import { emptyState } from '../ui/page.ts';
import type { LocalUpload } from './local-upload.ts';
import { createRow, type Row } from './row.ts';
import type { ActionName, RowState } from './view.ts';

interface Entry extends RowState {
  row: Row;
}

export interface Rows {
  element: HTMLElement;
  /** Reads the latest media. */
  load(): Promise<void>;
  local(upload: LocalUpload): void;
  localGone(fileId: string): void;
  event(event: FeedEvent): void;
}

export interface LocalActions {
  pause(fileId: string): void;
  resume(fileId: string): void;
  retry(fileId: string): void;
  cancel(fileId: string): Promise<void>;
}

/** So many are shown at first, and added each time that older ones are asked for. */
const PAGE = 20;

export function createRows(owner: string, locals: LocalActions): Rows {
  const entries = new Set<Entry>();
  const list = h('ul', { class: 'rows' });
  /** Where the media that are not shown begin; null: all are. */
  let cursor: string | null | undefined;
  const more = h(
    'div',
    { class: 'more', hidden: true },
    actionButton({ label: 'Load more', run: () => loadPage(cursor ?? undefined) }),
  );
  const empty = emptyState(
    'Nothing here yet',
    'Drop a video or a sound file above. It is uploaded, encoded, and then plays here.',
  );
  const element = h(
    'section',
    { class: 'your-media', 'aria-label': 'Your media' },
    h('h2', {}, 'Your latest media'),
    empty,
    list,
    more,
  );
  const ofMedia = (id: string): Entry | undefined =>
    [...entries].find((e) => (e.media?.id ?? e.local?.mediaId) === id);

  function show(entry: Entry): void {
    if (entry.media || entry.local) entry.row.update(entry);
    empty.hidden = entries.size > 0;
  }

  function add(state: Partial<RowState>): Entry {
    const entry: Entry = { jobs: [], ...state, row: createRow((action) => act(entry, action)) };
    entries.add(entry);
    // Newest first: ids grow with time. What has no id yet is the newest.
    const rows = [...list.children] as HTMLElement[];
    const id = state.media?.id;
    const older = id ? rows.find((row) => row.dataset.media && row.dataset.media < id) : rows[0];
    list.insertBefore(entry.row.element, older ?? null);
    show(entry);
    return entry;
  }

  function remove(entry: Entry): void {
    entries.delete(entry);
    entry.row.element.remove();
    empty.hidden = entries.size > 0;
  }

  async function act(entry: Entry, action: ActionName): Promise<void> {
    const { media, local } = entry;
    if (action === 'pause' && local) locals.pause(local.fileId);
    else if (action === 'resume' && local) locals.resume(local.fileId);
    else if (action === 'send-again' && local) locals.retry(local.fileId);
    else if (action === 'cancel-upload' && local) await locals.cancel(local.fileId);
    else if (action === 'delete' && media) await deleteMedia(media);
    else if (media) await request('POST', `/api/media/${media.id}/${action}`);
    if (media && !local) refresher.ask(media.id);
  }

  const refresher = createRefresher(async (id) => {
    const media = await read(id);
    const entry = ofMedia(id);
    if (!media) {
      if (entry && !entry.local) remove(entry);
      return;
    }
    if (media.owner !== owner) return;
    const busy = media.status === 'processing' || media.status === 'playable';
    const jobs = busy ? (await request<Page<Job>>('GET', withQuery('/api/jobs', { media: id }))).items : [];
    // Looked up again: the upload of this tab may have learned its media's id meanwhile.
    const known = ofMedia(id) ?? entry;
    if (!known) return void (media.status !== 'cancelled' && add({ media, jobs }));
    known.media = media;
    known.jobs = jobs;
    show(known);
  });

  return {
    element,
    load: () => loadPage(),
    local(upload) {
      let entry = [...entries].find((e) => e.local?.fileId === upload.fileId);
      const created = upload.mediaId ? ofMedia(upload.mediaId) : undefined;
      // The feed may tell of the new media before this tab knows that it is its own.
      if (created && entry && created !== entry) {
        entry.media = created.media;
        remove(created);
      }
      entry ??= created ?? add({ local: upload });
      entry.local = upload;
      show(entry);
    },
    localGone(fileId) {
      const entry = [...entries].find((e) => e.local?.fileId === fileId);
      if (!entry) return;
      const id = entry.local?.mediaId;
      if (id && !entry.media) void adopt(entry, id);
      else if (!id) remove(entry);
      if (entry.media) {
        entry.local = undefined;
        refresher.ask(entry.media.id);
        show(entry);
      }
    },
    event(event) {
      if (!event.mediaId) return;
      const entry = ofMedia(event.mediaId);
      if (entry && applied(entry, event)) show(entry);
      else refresher.ask(event.mediaId);
    },
  };

  async function loadPage(after?: string): Promise<void> {
    const query = { limit: PAGE, owner, cursor: after };
    const page = await request<Page<Media>>('GET', withQuery('/api/media', query));
    for (const media of page.items) {
      const entry = ofMedia(media.id);
      if (entry) Object.assign(entry, { media });
      else if (media.status !== 'cancelled') add({ media });
      if (media.status === 'processing' || media.status === 'playable') refresher.ask(media.id);
    }
    // When the latest are read again, what was shown of the older ones stays.
    if (after !== undefined || cursor === undefined) cursor = page.nextCursor ?? null;
    more.hidden = !cursor;
    for (const entry of entries) show(entry);
  }

  async function adopt(entry: Entry, id: string): Promise<void> {
    entry.media = await read(id);
    entry.local = undefined;
    if (entry.media) show(entry);
    else remove(entry);
    refresher.ask(id);
  }
}

/** A media, or undefined when there is none (any more). */
async function read(id: string): Promise<Media | undefined> {
  try {
    return await request<Media>('GET', `/api/media/${id}`);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}

async function deleteMedia(media: Media): Promise<void> {
  const finished = media.status === 'ready' || media.status === 'playable';
  if (
    finished &&
    !(await confirmed('Delete this media?', `“${media.title}” can’t be brought back.`, 'Delete'))
  )
    return;
  await request('DELETE', `/api/media/${media.id}`);
}

/** Applies an event that only moves a bar; false when the row must be read again. */
function applied(entry: Entry, { type, jobId, payload }: FeedEvent): boolean {
  if (type === 'upload.progress' && entry.media?.upload && typeof payload.offset === 'number') {
    entry.media.upload.offset = payload.offset;
    return true;
  }
  const job = entry.jobs.find((j) => j.id === jobId);
  if (type === 'job.progress' && job && typeof payload.percent === 'number') {
    job.progress = payload as unknown as Progress;
    return true;
  }
  return false;
}
