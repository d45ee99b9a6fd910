/**
 * The guarded state machine of media. Nothing else in the project writes `media.status`.
 */
import type { Trx } from '../../db/dialect.ts';
import type { MediaRow } from '../../db/schema.ts';
import { insertion } from '../../db/statement.ts';
import { emit } from '../events/events.ts';

/**
 * uploading:  bytes are arriving
 * live:       a recording is running
 * processing: whole, and jobs are working on it
 * playable:   somebody can watch it now; outputs are still missing
 * ready:      every required output is there
 * failed:     it can't be made playable; error says why
 * cancelled:  its owner stopped it
 */
export const MEDIA_STATUSES = [
  'uploading',
  'live',
  'processing',
  'playable',
  'ready',
  'failed',
  'cancelled',
] as const;
export type MediaStatus = (typeof MEDIA_STATUSES)[number];

/** The legal edges within one attempt. `failed -> processing` and `ready -> playable` are not here: only `reopen` and `reopenBeside` do it, with a new attempt. */
export const TRANSITIONS: Readonly<Record<MediaStatus, readonly MediaStatus[]>> = {
  uploading: ['processing', 'failed', 'cancelled'],
  live: ['processing', 'failed', 'cancelled'],
  processing: ['playable', 'failed', 'cancelled'],
  playable: ['ready', 'failed', 'cancelled'],
  ready: [],
  failed: [],
  cancelled: [],
};

export const UNFINISHED: readonly MediaStatus[] = MEDIA_STATUSES.filter((s) => TRANSITIONS[s].length > 0);

export interface MediaError {
  /** Stable, snake_case. */
  code: string;
  /** A sentence a person understands. */
  message: string;
}

export interface Guard {
  /** Statuses it may leave; by default every one with an edge to the target. */
  from?: readonly MediaStatus[];
  /** The media attempt the caller works for. */
  attempt: number;
}

/** Columns that may change along with the status. */
export type MediaChanges = Partial<Pick<MediaRow, 'sourceKey' | 'source'>> & { error?: MediaError };

/**
 * Moves a media along one edge, in ONE statement, and appends the event. Returns the new row, or undefined
 * when nothing changed because someone else moved it first (or its attempt is over): then do nothing else.
 * Throws on an edge that TRANSITIONS does not have: that is a bug.
 */
export async function transition(
  trx: Trx,
  id: string,
  to: MediaStatus,
  guard: Guard,
  changes: MediaChanges = {},
): Promise<MediaRow | undefined> {
  const from = guard.from ?? MEDIA_STATUSES.filter((s) => TRANSITIONS[s].includes(to));
  const illegal = from.find((s) => !TRANSITIONS[s].includes(to));
  if (illegal || !from.length) throw new Error(`illegal transition ${illegal ?? '(none)'} -> ${to}`);
  const { error, ...columns } = changes;
  const row = await trx
    .updateTable('media')
    .set({
      ...columns,
      status: to,
      errorCode: error?.code ?? null,
      errorMessage: error?.message ?? null,
      updatedAt: Date.now(),
    })
    .where('id', '=', id)
    .where('status', 'in', from)
    .where('attempt', '=', guard.attempt)
    .returningAll()
    .executeTakeFirst();
  if (row) emitStatus(trx, row);
  return row;
}

/** Reads a media and keeps others from changing it before this transaction ends. */
export async function lockMedia(trx: Trx, id: string): Promise<MediaRow | undefined> {
  return trx
    .updateTable('media')
    .set({ updatedAt: Date.now() })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirst();
}

/**
 * The explicit retry: failed -> processing under a new attempt number, by another encoder if one is named. Undefined when
 * the media was not failed at that attempt any more, or was never uploaded whole.
 */
export const reopen = (
  trx: Trx,
  id: string,
  attempt: number,
  encoder?: string,
): Promise<MediaRow | undefined> =>
  openNext(trx, { id, attempt, status: 'failed' }, { status: 'processing', ...(encoder ? { encoder } : {}) });

/**
 * ready -> playable under a new attempt number, for a media that plays from a provider: it is to be encoded here as well.
 * Undefined when it was not ready at that attempt any more, or its source is gone.
 */
export const reopenBeside = (trx: Trx, id: string, attempt: number): Promise<MediaRow | undefined> =>
  openNext(trx, { id, attempt, status: 'ready' }, { status: 'playable', encoder: 'both' });

async function openNext(
  trx: Trx,
  { id, attempt, status }: { id: string; attempt: number; status: MediaStatus },
  changes: { status: MediaStatus; encoder?: string },
): Promise<MediaRow | undefined> {
  const row = await trx
    .updateTable('media')
    .set({
      ...changes,
      attempt: attempt + 1,
      errorCode: null,
      errorMessage: null,
      updatedAt: Date.now(),
    })
    .where('id', '=', id)
    .where('status', '=', status)
    .where('attempt', '=', attempt)
    .where('sourceKey', 'is not', null)
    .where('deletedAt', 'is', null)
    .returningAll()
    .executeTakeFirst();
  if (row) emitStatus(trx, row);
  return row;
}

export type NewMedia = Pick<MediaRow, 'id' | 'owner' | 'title' | 'filename' | 'filetype' | 'visibility'> & {
  status: 'uploading' | 'live';
  /** Default ffmpeg. */
  encoder?: string;
};

const insertRow = insertion<MediaRow, Partial<MediaRow>>('media');

/** Inserts a media at the start of its life. */
export async function createMedia(trx: Trx, media: NewMedia): Promise<void> {
  const now = Date.now();
  await insertRow(trx, {
    ...media,
    attempt: 1,
    sourceKey: null,
    source: null,
    errorCode: null,
    errorMessage: null,
    createdAt: now,
    updatedAt: now,
    deletedAt: null,
  });
  emit(trx, {
    type: 'media.created',
    owner: media.owner,
    mediaId: media.id,
    payload: { status: media.status, title: media.title },
  });
}

function emitStatus(trx: Trx, row: MediaRow): void {
  emit(trx, {
    type: 'media.status',
    owner: row.owner,
    mediaId: row.id,
    payload: {
      status: row.status,
      attempt: row.attempt,
      ...(row.errorCode ? { error: { code: row.errorCode, message: row.errorMessage } } : {}),
    },
  });
}
