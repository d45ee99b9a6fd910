/** Ends of a media that people ask for: stop it, delete it. Storage is cleaned by jobs, after the commit. */
import type { Trx } from '../../db/dialect.ts';
import type { MediaRow } from '../../db/schema.ts';
import { emit } from '../events/events.ts';
import { add, cancelMediaJobs } from '../jobs/queue.ts';
import { transition } from './media.ts';

/**
 * Stops an unfinished media and its jobs; what an unfinished upload stored is discarded by a job.
 * Undefined when it was finished already or someone else moved it first.
 */
export async function cancelMedia(trx: Trx, media: MediaRow): Promise<MediaRow | undefined> {
  const row = await transition(trx, media.id, 'cancelled', { attempt: media.attempt });
  if (!row) return undefined;
  await cancelMediaJobs(trx, media.id);
  await addDiscard(trx, media);
  return row;
}

/** Nothing of the media is to stay in storage. */
export async function addDiscard(trx: Trx, media: MediaRow): Promise<void> {
  await add(trx, {
    key: `${media.id}:discard:${media.attempt}`,
    task: 'discard',
    mediaId: media.id,
    owner: media.owner,
    maxAttempts: 20,
  });
}

/** Deletes a media for every reader at once; bytes and rows go by a `purge` job. False when it was deleted already. */
export async function deleteMedia(trx: Trx, media: MediaRow): Promise<boolean> {
  const now = Date.now();
  const row = await trx
    .updateTable('media')
    .set({ deletedAt: now, updatedAt: now })
    .where('id', '=', media.id)
    .where('deletedAt', 'is', null)
    .returning('id')
    .executeTakeFirst();
  if (!row) return false;
  await cancelMediaJobs(trx, media.id);
  await add(trx, {
    key: `${media.id}:purge`,
    task: 'purge',
    mediaId: media.id,
    owner: media.owner,
    maxAttempts: 20,
  });
  emit(trx, { type: 'media.deleted', owner: media.owner, mediaId: media.id, payload: {} });
  return true;
}
