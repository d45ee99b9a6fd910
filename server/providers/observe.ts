/**
 * What becomes of an observation. Webhooks and polls, in any order, late, twice or not at all, all come through
 * here: each is compared with the row in one transaction, and moves it forward or changes nothing.
 */
import type { Trx } from '../../db/dialect.ts';
import type { EncodeAttemptRow, MediaRow } from '../../db/schema.ts';
import { emit } from '../events/events.ts';
import { newOutputId, publishOutput, type StreamDetails } from '../media/output.ts';
import { outputPrefix } from '../storage/storage.ts';
import {
  adopt,
  changeAttempt,
  findAttempt,
  openAttempt,
  queueRemoval,
  restingAt,
  WANTING,
} from './attempts.ts';
import type { Observation, VideoError } from './provider.ts';

/** Adds what comes next for a media: the pipeline's, handed in since it stands above. */
export type Advance = (trx: Trx, media: MediaRow) => Promise<void>;

export interface Observing {
  provider: string;
  advance: Advance;
  /** Milliseconds. */
  times: { pollFirst: number; deadline: number };
}

/**
 * moved: the row went forward; same: nothing new; extra: one video too many, up for removal; stranger: not ours;
 * alert: it was complete and the provider now says it failed; ignored: words we don't know.
 */
export type Effect = 'moved' | 'same' | 'extra' | 'stranger' | 'alert' | 'ignored';

/** States that an observation may still move. */
const MOVABLE = ['submitting', 'working', 'playable'];

export async function applyObservation(trx: Trx, observing: Observing, seen: Observation): Promise<Effect> {
  const found = await findAttempt(trx, observing.provider, seen);
  if (!found) return 'stranger';
  const row = found.videoId === seen.videoId ? found : await adoptIt(trx, observing, found, seen);
  if (row === 'extra' || row === 'same') return row;
  switch (seen.state) {
    case 'accepted':
    case 'working':
      return progress(trx, row, seen);
    case 'playable':
      return play(trx, observing, row, seen, 'playable');
    case 'complete':
      return play(trx, observing, row, seen, 'complete');
    case 'failed':
      return fail(trx, observing, row, seen.error);
    case 'unknown':
      return 'ignored';
  }
}

/** A video that came before its id was stored, or one too many. */
async function adoptIt(
  trx: Trx,
  { times }: Observing,
  row: EncodeAttemptRow,
  { videoId }: Observation,
): Promise<EncodeAttemptRow | 'extra' | 'same'> {
  // A push in the making has no other video than the one it is about to store.
  if (row.transfer === 'push' && row.videoId === null && row.state === 'submitting') return 'same';
  const now = Date.now();
  if ((await adopt(trx, row, videoId, now + times.deadline, now + times.pollFirst)) === 'extra')
    return 'extra';
  return { ...row, videoId, state: 'working' };
}

async function progress(trx: Trx, row: EncodeAttemptRow, seen: Observation): Promise<Effect> {
  const percent = Math.floor(seen.percent ?? 0);
  if (percent <= row.percent) return 'same';
  const changed = await changeAttempt(trx, { id: row.id }, ['working'], { percent, misses: 0 });
  if (!changed) return 'same';
  emit(trx, {
    type: 'media.updated',
    owner: row.owner,
    mediaId: row.mediaId,
    payload: { progress: { step: 'stream', percent } },
  });
  return 'moved';
}

async function play(
  trx: Trx,
  observing: Observing,
  row: EncodeAttemptRow,
  seen: Observation,
  to: 'playable' | 'complete',
): Promise<Effect> {
  // Without an address nobody can watch: the next look may bring it.
  if (!seen.playback) return 'same';
  const media = await hold(trx, row);
  if (!media) return 'same';
  const from = to === 'complete' ? MOVABLE : ['submitting', 'working'];
  const moved = await changeAttempt(trx, { id: row.id }, from, {
    state: to,
    percent: to === 'complete' ? 100 : Math.floor(seen.percent ?? row.percent),
    misses: 0,
    ...(to === 'complete' ? restingAt(row) : {}),
  });
  if (!moved) return 'same';
  await publish(trx, media, moved, seen);
  await observing.advance(trx, media);
  return 'moved';
}

async function publish(trx: Trx, media: MediaRow, row: EncodeAttemptRow, seen: Observation): Promise<void> {
  const id = newOutputId();
  const { hls, dash, poster, signed } = seen.playback!;
  const details: StreamDetails = {
    provider: row.provider,
    videoId: seen.videoId,
    ...{ hls, dash, poster, signed },
    complete: row.state === 'complete',
    ...{ duration: seen.duration, width: seen.width, height: seen.height },
  };
  await publishOutput(trx, {
    ...{ id, mediaId: media.id, mediaAttempt: media.attempt, owner: media.owner, kind: 'stream' },
    prefix: outputPrefix(media.id, id),
    bytes: 0, // here; the provider's own are on its bill
    details,
  });
}

const UNSAID: VideoError = { code: 'stream_error', message: 'The provider did not say why.', refetch: false };

async function fail(
  trx: Trx,
  observing: Observing,
  row: EncodeAttemptRow,
  error: VideoError = UNSAID,
): Promise<Effect> {
  if (row.state === 'complete') return alert(trx, row, error);
  const media = await hold(trx, row);
  if (!media) return 'same';
  const again = error.refetch && row.refetches === 0;
  const moved = await changeAttempt(trx, { id: row.id }, MOVABLE, {
    state: again ? 'superseded' : 'failed',
    errorCode: error.code,
    errorMessage: error.message,
    ...restingAt(row),
  });
  if (!moved) return 'same';
  if (again) {
    await openAttempt(trx, media, row.refetches + 1);
    await queueRemoval(trx, row.provider, row.videoId!);
  }
  await withdraw(trx, media);
  if (!again) tellBeside(trx, media, moved);
  await observing.advance(trx, media);
  return 'moved';
}

/** Fails an attempt for a reason of ours, such as its deadline. */
export async function failAttempt(
  trx: Trx,
  observing: Observing,
  row: EncodeAttemptRow,
  error: Omit<VideoError, 'refetch'>,
  from: readonly string[] = ['waiting', ...MOVABLE],
): Promise<boolean> {
  const media = await hold(trx, row);
  const moved = await changeAttempt(trx, { id: row.id }, from, {
    state: 'failed',
    errorCode: error.code,
    errorMessage: error.message,
    ...restingAt(row),
  });
  if (!moved || !media) return false;
  await withdraw(trx, media);
  tellBeside(trx, media, moved);
  await observing.advance(trx, media);
  return true;
}

/** A video that is not going to be whole must not be offered any more. */
async function withdraw(trx: Trx, media: MediaRow): Promise<void> {
  await trx.deleteFrom('output').where('mediaId', '=', media.id).where('kind', '=', 'stream').execute();
}

/**
 * "Ready -> error later is possible": the media has been watched by then, so its state stays, and a person is told,
 * once.
 */
async function alert(trx: Trx, row: EncodeAttemptRow, error: VideoError): Promise<Effect> {
  if (row.errorCode !== null) return 'same';
  const { code, message } = error;
  await changeAttempt(trx, { id: row.id }, ['complete'], { errorCode: code, errorMessage: message });
  emitAlert(trx, { ...row, errorCode: code, errorMessage: message });
  return 'alert';
}

/** Encoded here too, so it goes on: but the copy that was paid for isn't there. */
function tellBeside(trx: Trx, media: MediaRow, row: EncodeAttemptRow): void {
  if (media.encoder === 'both') emitAlert(trx, row);
}

/** `media.alert`: {code, message, provider, videoId}: something a person should look at. */
function emitAlert(trx: Trx, row: EncodeAttemptRow): void {
  const { errorCode: code, errorMessage: message, provider, videoId, owner, mediaId } = row;
  emit(trx, { type: 'media.alert', owner, mediaId, payload: { code, message, provider, videoId } });
}

/** The attempt's media, kept from changing until the transaction ends; undefined when it wants nothing of it any more. */
async function hold(trx: Trx, row: EncodeAttemptRow): Promise<MediaRow | undefined> {
  return trx
    .updateTable('media')
    .set({ updatedAt: Date.now() })
    .where('id', '=', row.mediaId)
    .where('attempt', '=', row.mediaAttempt)
    .where('deletedAt', 'is', null)
    .where('status', 'in', WANTING)
    .returningAll()
    .executeTakeFirst();
}
