/**
 * The rows of encode attempts, and the only code that writes their state.
 *
 *     waiting -> submitting -> working -> playable -> complete
 *        ^----------'             any of them -> failed | superseded | ended
 *
 * waiting:    to be sent to the provider
 * submitting: it was asked for a video, and may have made one whose id we don't know yet
 * working:    the video is known
 * playable:   somebody can watch it; better qualities may follow
 * complete:   all there
 * failed:     the provider could not encode it, lost it, or took too long
 * superseded: the provider could not fetch the source; another attempt took over
 * ended:      its media was stopped or deleted, or failed otherwise
 */
import { sql } from 'kysely';
import { skipLocked, type Db, type Trx } from '../../db/dialect.ts';
import type { EncodeAttemptRow, MediaRow } from '../../db/schema.ts';
import { transact } from '../../db/transaction.ts';
import { newId } from '../ids.ts';
import { add } from '../jobs/queue.ts';

export const ATTEMPT_STATES = [
  ...['waiting', 'submitting', 'working', 'playable'],
  ...['complete', 'failed', 'superseded', 'ended'],
] as const;
/** States in which something is still expected. */
export const OPEN_STATES = ['waiting', 'submitting', 'working', 'playable'];
/** States in which its video, and no other, is the one we want at the provider. */
const OWNING_STATES = [...OPEN_STATES, 'complete', 'failed'];

/** Statuses of a media that takes what an attempt makes. */
export const WANTING = ['processing', 'playable', 'ready'] as const;

/** Which provider serves an encoder of ours; undefined: FFmpeg alone. */
export const providerOf = (encoder: string): string | undefined =>
  encoder === 'ffmpeg' ? undefined : 'cloudflare';

/** Opens an attempt for the media's current attempt. Nothing happens when it has one already. */
export async function openAttempt(trx: Trx, media: MediaRow, refetches = 0): Promise<void> {
  await endAttempts(trx, media.id, media.attempt);
  const now = Date.now();
  await trx
    .insertInto('encodeAttempt')
    .values({
      id: newId(),
      provider: providerOf(media.encoder) ?? '',
      mediaId: media.id,
      mediaAttempt: media.attempt,
      owner: media.owner,
      state: 'waiting',
      transfer: 'copy',
      refetches,
      ...{ uncertain: 0, nextAt: now, tries: 0, misses: 0, epoch: 0, percent: 0 },
      createdAt: now,
      updatedAt: now,
    })
    .onConflict((oc) => oc.columns(['mediaId', 'mediaAttempt', 'provider', 'refetches']).doNothing())
    .execute();
}

/** The attempt that counts for a media now. */
export async function currentAttempt(db: Db, media: MediaRow): Promise<EncodeAttemptRow | undefined> {
  return db
    .selectFrom('encodeAttempt')
    .selectAll()
    .where('mediaId', '=', media.id)
    .where('mediaAttempt', '=', media.attempt)
    .orderBy('refetches', 'desc')
    .limit(1)
    .executeTakeFirst();
}

export async function attemptById(db: Db, id: string): Promise<EncodeAttemptRow | undefined> {
  return db.selectFrom('encodeAttempt').selectAll().where('id', '=', id).executeTakeFirst();
}

/** The media an attempt works for; undefined when that was stopped, deleted or retried meanwhile. */
export async function wantedMedia(db: Db, row: EncodeAttemptRow): Promise<MediaRow | undefined> {
  return db
    .selectFrom('media')
    .selectAll()
    .where('id', '=', row.mediaId)
    .where('attempt', '=', row.mediaAttempt)
    .where('deletedAt', 'is', null)
    .where('status', 'in', WANTING)
    .executeTakeFirst();
}

type Changes = Partial<Omit<EncodeAttemptRow, 'id' | 'provider' | 'mediaId' | 'mediaAttempt' | 'createdAt'>>;

/**
 * Changes an attempt that is in one of the states `from`, in one statement; with `epoch`, only as long as that claim is
 * the last one. Undefined when it was not so: then someone else moved it first, and nothing may follow.
 */
export async function changeAttempt(
  trx: Db,
  row: { id: string; epoch?: number },
  from: readonly string[],
  changes: Changes,
): Promise<EncodeAttemptRow | undefined> {
  return trx
    .updateTable('encodeAttempt')
    .set({ ...changes, updatedAt: Date.now() })
    .where('id', '=', row.id)
    .where('state', 'in', from)
    .$if(row.epoch !== undefined, (update) => update.where('epoch', '=', row.epoch!))
    .returningAll()
    .executeTakeFirst();
}

/** When an attempt that comes to rest is looked at again: only if there may be more videos than we know. */
export const restingAt = (
  row: Pick<EncodeAttemptRow, 'uncertain'>,
): { nextAt: number | null; tries: number } => ({
  nextAt: row.uncertain ? Date.now() : null,
  tries: 0,
});

/** The row that knows this video, or that the video says it was made for. */
export async function findAttempt(
  trx: Db,
  provider: string,
  video: { videoId: string; attemptId: string | undefined },
): Promise<EncodeAttemptRow | undefined> {
  const rows = trx.selectFrom('encodeAttempt').selectAll().where('provider', '=', provider);
  const known = await rows.where('videoId', '=', video.videoId).executeTakeFirst();
  if (known || video.attemptId === undefined) return known;
  return rows.where('id', '=', video.attemptId).executeTakeFirst();
}

/**
 * Gives a video to the attempt it was made for. `ours`: it is the attempt's one video; `extra`: the attempt has another
 * or wants none, so this one has been put up for removal.
 */
export async function adopt(
  trx: Trx,
  row: EncodeAttemptRow,
  videoId: string,
  deadline: number,
  pollAt: number,
): Promise<'ours' | 'extra'> {
  const taken = await trx
    .updateTable('encodeAttempt')
    .set({ videoId, state: 'working', nextAt: pollAt, tries: 0, misses: 0, deadline, updatedAt: Date.now() })
    .where('id', '=', row.id)
    .where('videoId', 'is', null)
    .where('state', 'in', ['waiting', 'submitting'])
    .returning('id')
    .executeTakeFirst();
  if (taken) return 'ours';
  const now = await attemptById(trx, row.id);
  if (now?.videoId === videoId && OWNING_STATES.includes(now.state)) return 'ours';
  await queueRemoval(trx, row.provider, videoId);
  return 'extra';
}

/** Has a video deleted at the provider by a job, which repeats until it is gone. */
export async function queueRemoval(trx: Trx, provider: string, videoId: string): Promise<void> {
  await add(trx, {
    key: `${provider}:remove:${videoId}`,
    task: 'remove-video',
    payload: { provider, videoId },
    maxAttempts: 40,
  });
}

/** True while an attempt wants this video to be there: then it must not be deleted, whoever asked. */
export async function isWanted(db: Db, provider: string, videoId: string): Promise<boolean> {
  const row = await db
    .selectFrom('encodeAttempt')
    .select('id')
    .where('provider', '=', provider)
    .where('videoId', '=', videoId)
    .where('state', 'in', OWNING_STATES)
    .executeTakeFirst();
  return row !== undefined;
}

/**
 * Ends every attempt of a media, of its attempts before `olderThan` when that is given: their videos are removed, and
 * addresses of its source stop working.
 */
export async function endAttempts(trx: Trx, mediaId: string, olderThan?: number): Promise<void> {
  let rows = trx
    .selectFrom('encodeAttempt')
    .selectAll()
    .where('mediaId', '=', mediaId)
    .where('state', '!=', 'ended');
  if (olderThan !== undefined) rows = rows.where('mediaAttempt', '<', olderThan);
  for (const row of await rows.execute()) {
    // Of a submission that is under way right now nobody knows yet what it made.
    const uncertain = row.uncertain || (row.state === 'submitting' && row.videoId === null) ? 1 : 0;
    const ended = await changeAttempt(trx, { id: row.id }, [row.state], {
      state: 'ended',
      uncertain,
      ...restingAt({ uncertain }),
    });
    if (ended?.videoId) await queueRemoval(trx, ended.provider, ended.videoId);
  }
  await trx.deleteFrom('output').where('mediaId', '=', mediaId).where('kind', '=', 'stream').execute();
}

/** A media's attempts go on as those of its next attempt: their videos are wanted as before. */
export async function carryAttempts(trx: Trx, mediaId: string, from: number, to: number): Promise<void> {
  await trx
    .updateTable('encodeAttempt')
    .set({ mediaAttempt: to, updatedAt: Date.now() })
    .where('mediaId', '=', mediaId)
    .where('mediaAttempt', '=', from)
    .execute();
}

/** Forgets a deleted media's attempts, but for those that have yet to be looked for at the provider. */
export async function forgetAttempts(trx: Trx, mediaId: string): Promise<void> {
  await trx
    .deleteFrom('encodeAttempt')
    .where('mediaId', '=', mediaId)
    .where('state', '=', 'ended')
    .where('nextAt', 'is', null)
    .execute();
}

/** Which rows are due, in what number, and what a claim makes of each. */
interface Claim {
  provider: string;
  states: readonly string[];
  limit: number;
  /** Changes of a claimed row: a new `nextAt` above all, so that a claim which fails does not come back at once. */
  changes(row: EncodeAttemptRow): Changes;
}

/** Takes the rows that have been due for longest; no other process gets them before their new `nextAt`. */
export async function claimDue(
  db: Db,
  { provider, states, limit, changes }: Claim,
): Promise<EncodeAttemptRow[]> {
  return transact(db, async (trx) => {
    const due = await trx
      .selectFrom('encodeAttempt')
      .selectAll()
      .where('provider', '=', provider)
      .where('nextAt', 'is not', sql.lit(null))
      .where('nextAt', '<=', Date.now())
      .where('state', 'in', states)
      .orderBy('nextAt')
      .limit(limit)
      .modifyEnd(skipLocked(trx))
      .execute();
    const claimed: EncodeAttemptRow[] = [];
    for (const row of due) {
      const next = await changeAttempt(trx, { id: row.id, epoch: row.epoch }, [row.state], {
        ...changes(row),
        epoch: row.epoch + 1,
      });
      if (next) claimed.push(next);
    }
    return claimed;
  });
}

/** True when a claim of these states would find something. */
export async function anyDue(db: Db, provider: string, states: readonly string[]): Promise<boolean> {
  const row = await db
    .selectFrom('encodeAttempt')
    .select('id')
    .where('provider', '=', provider)
    .where('state', 'in', states)
    .where('nextAt', '<=', Date.now())
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** Videos that the provider has in work for us. */
export async function inFlight(db: Db, provider: string): Promise<number> {
  const { n } = await db
    .selectFrom('encodeAttempt')
    .select((eb) => eb.fn.countAll<number>().as('n'))
    .where('provider', '=', provider)
    .where('state', 'in', ['submitting', 'working', 'playable'])
    .executeTakeFirstOrThrow();
  return Number(n);
}
