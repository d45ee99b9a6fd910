/** Encoding by our own FFmpeg of a media that a provider was to encode, or has encoded. */
import type { Trx } from '../../db/dialect.ts';
import type { MediaRow } from '../../db/schema.ts';
import { AppError } from '../errors.ts';
import { cancelMediaJobs } from '../jobs/queue.ts';
import { reopen, reopenBeside } from '../media/media.ts';
import { carryAttempts, endAttempts } from '../providers/index.ts';
import { DROP_SOURCE } from '../pipeline/index.ts';

/**
 * Opens the next attempt of a media, in which FFmpeg encodes it. One that is `ready` by a provider's version alone goes on
 * playing that, and is `playable` until ours is whole; one that failed is ours alone from now on. Undefined when its status or
 * its upload don't allow it. AppError 409 `already_encoded`, or `source_gone` when its upload is just being deleted.
 */
export async function encodeHere(trx: Trx, media: MediaRow): Promise<MediaRow | undefined> {
  if (media.status === 'failed') {
    const row = await reopen(trx, media.id, media.attempt, 'ffmpeg');
    if (row) await endAttempts(trx, media.id);
    return row;
  }
  if (media.status !== 'ready') return undefined;
  if (media.encoder === 'ffmpeg' || (media.encoder === 'both' && media.errorCode === null))
    throw new AppError(409, 'already_encoded', 'This media was encoded here: nothing is missing.');
  const row = await reopenBeside(trx, media.id, media.attempt);
  if (!row) return undefined;
  await keepSource(trx, media.id);
  await carryAttempts(trx, media.id, media.attempt, row.attempt);
  return row;
}

/** The deletion of the source waits for the next time that the media is ready. */
async function keepSource(trx: Trx, mediaId: string): Promise<void> {
  await cancelMediaJobs(trx, mediaId, [DROP_SOURCE]);
  const running = await trx
    .selectFrom('job')
    .select('id')
    .where('mediaId', '=', mediaId)
    .where('task', '=', DROP_SOURCE)
    .where('status', '=', 'running')
    .executeTakeFirst();
  if (running)
    throw new AppError(
      409,
      'source_gone',
      'The uploaded file is being deleted at this moment, as KEEP_SOURCE says: upload it again.',
    );
}
