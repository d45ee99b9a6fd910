/** The job that works on an upload while it arrives, as its media's other steps see it. */
import type { Db, Trx } from '../../../db/dialect.ts';
import type { JobRow, MediaRow } from '../../../db/schema.ts';
import { add, cancelJob } from '../../jobs/queue.ts';
import { hlsOutputs } from '../../media/growing.ts';

export const EARLY = 'early';

/** What its payload says. */
export interface EarlyWish {
  /** Viewers may see it before the last byte is there. */
  watch: boolean;
}

/** Begins to work on a media whose upload arrives. */
export async function addEarly(trx: Trx, media: MediaRow, wish: EarlyWish): Promise<void> {
  await add(trx, {
    key: `${media.id}:${EARLY}:${media.attempt}`,
    task: EARLY,
    mediaId: media.id,
    mediaAttempt: media.attempt,
    owner: media.owner,
    // Probes come first: somebody waits for them now.
    priority: 29,
    maxAttempts: 3,
    payload: { ...wish },
  });
}

/** The job of a media's upload, if there is one: uploads belong to a media's first attempt. */
export const findEarly = (
  db: Db,
  mediaId: string,
): Promise<Pick<JobRow, 'status' | 'attempts' | 'createdAt'> | undefined> =>
  db
    .selectFrom('job')
    .select(['status', 'attempts', 'createdAt'])
    .where('key', '=', `${mediaId}:${EARLY}:1`)
    .executeTakeFirst();

/**
 * True while a whole upload's first variant is about to be completed. A job that nobody runs when the last byte is
 * there would only begin where the `copy` step does: it is cancelled.
 */
export async function awaitsEarly(trx: Trx, media: MediaRow): Promise<boolean> {
  const job = await trx
    .selectFrom('job')
    .select(['id', 'status'])
    .where('key', '=', `${media.id}:${EARLY}:${media.attempt}`)
    .where('status', 'in', ['queued', 'running'])
    .executeTakeFirst();
  if (job?.status !== 'queued') return job !== undefined;
  await cancelJob(trx, job.id);
  await dropEarly(trx, media.id);
  return false;
}

/** Half a variant is none, and no other step makes one before the job has ended. Its bytes go with those that no row names. */
export async function dropEarly(trx: Trx, mediaId: string): Promise<void> {
  for (const { id, details } of await hlsOutputs(trx, mediaId))
    if (details.state === 'growing') await trx.deleteFrom('output').where('id', '=', id).execute();
}
