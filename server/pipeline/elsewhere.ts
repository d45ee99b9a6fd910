/** What comes next for a media that a provider encodes, alone or beside us. As in advance.ts, rows alone decide. */
import type { Trx } from '../../db/dialect.ts';
import type { MediaRow } from '../../db/schema.ts';
import { cancelMediaJobs } from '../jobs/queue.ts';
import { emit } from '../events/events.ts';
import { transition, type MediaError } from '../media/media.ts';
import { addCaptions, currentAttempt, openAttempt, OPEN_STATES } from '../providers/index.ts';
import type { MediaState } from './step.ts';

/** Nothing of it is encoded here: that was not wanted, or has failed, and a provider goes on alone. */
export const isLeftToProvider = ({ encoder, errorCode }: MediaRow): boolean =>
  encoder === 'stream' || (encoder === 'both' && errorCode !== null);

/**
 * For a media that is encoded here and by a provider, when it has failed here: leaves it to the provider, if that has a
 * version of it or is making one. The error stays with the media, and `media.alert` tells of it. Undefined when there is
 * nobody to leave it to.
 */
export async function leaveToProvider(
  trx: Trx,
  media: MediaRow,
  error: MediaError,
): Promise<MediaRow | undefined> {
  if (media.encoder !== 'both' || !['processing', 'playable'].includes(media.status)) return undefined;
  const found = await currentAttempt(trx, media);
  if (!found || ![...OPEN_STATES, 'complete'].includes(found.state)) return undefined;
  const { id, owner } = media;
  emit(trx, { type: 'media.alert', owner, mediaId: id, payload: { ...error, provider: 'ffmpeg' } });
  return trx
    .updateTable('media')
    .set({ errorCode: error.code, errorMessage: error.message })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

/**
 * A media of which nothing is encoded here, not even probed: the provider judges it. True when it became ready. What has
 * failed here stays with it.
 */
export async function advanceElsewhere(trx: Trx, media: MediaRow): Promise<boolean> {
  const found = await currentAttempt(trx, media);
  if (!found) {
    await openAttempt(trx, media);
    return false;
  }
  const { attempt } = media;
  if (found.state === 'failed') {
    const error = {
      code: found.errorCode ?? 'stream_error',
      message: found.errorMessage ?? 'It could not be encoded.',
    };
    if (await transition(trx, media.id, 'failed', { attempt }, { error }))
      await cancelMediaJobs(trx, media.id);
  }
  if (!['playable', 'complete'].includes(found.state)) return false;
  const { errorCode: code, errorMessage: message } = media;
  const beside = code === null ? {} : { error: { code, message: message ?? '' } };
  await transition(trx, media.id, 'playable', { attempt }, beside);
  if (found.state !== 'complete') return false;
  return (await transition(trx, media.id, 'ready', { attempt }, beside)) !== undefined;
}

/**
 * For a media that is encoded here and by a provider: opens the attempt when the probe has found a picture (nothing
 * else is taken there). True while more is to come. One that fails there still plays from here.
 */
export async function isAwaitedElsewhere(
  trx: Trx,
  media: MediaRow,
  { source, outputs }: MediaState,
): Promise<boolean> {
  if (media.encoder !== 'both' || !source?.video) return false;
  const found = await currentAttempt(trx, media);
  if (!found) await openAttempt(trx, media);
  else if (outputs.has('subtitles') && ['playable', 'complete'].includes(found.state))
    await addCaptions(trx, media, found);
  return !found || OPEN_STATES.includes(found.state);
}
