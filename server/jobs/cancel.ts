/** What people do to jobs. */
import type { Trx } from '../../db/dialect.ts';
import type { JobRow, MediaRow } from '../../db/schema.ts';
import { emitStatus, queuedAt, type Condition } from './row.ts';

/** Cancels a queued job at once, and asks the worker of a running one to stop. Undefined when it had ended. */
export async function cancelJob(trx: Trx, id: string): Promise<JobRow | undefined> {
  return (await cancelWhere(trx, (eb) => eb('id', '=', id)))[0];
}

/** Cancels all unfinished jobs of a media, or those of these tasks; returns how many. */
export async function cancelMediaJobs(trx: Trx, mediaId: string, tasks?: readonly string[]): Promise<number> {
  const rows = await cancelWhere(trx, (eb) =>
    tasks ? eb.and([eb('mediaId', '=', mediaId), eb('task', 'in', tasks)]) : eb('mediaId', '=', mediaId),
  );
  return rows.length;
}

/** Gives a failed or cancelled job all its attempts again. Undefined when it is neither. */
export async function retryJob(trx: Trx, id: string): Promise<JobRow | undefined> {
  return (await retryWhere(trx, (eb) => eb('id', '=', id)))[0];
}

/**
 * The same for all of these tasks in an attempt of a media. False, and nothing is changed, while one of them is still being
 * stopped: it would stay behind.
 */
export async function retryMediaJobs(
  trx: Trx,
  { id, attempt }: Pick<MediaRow, 'id' | 'attempt'>,
  tasks: readonly string[],
): Promise<boolean> {
  const theirs: Condition = (eb) =>
    eb.and([eb('mediaId', '=', id), eb('mediaAttempt', '=', attempt), eb('task', 'in', tasks)]);
  const stopping = await trx
    .selectFrom('job')
    .select('id')
    .where(theirs)
    .where('status', '=', 'running')
    .where('cancelRequested', '=', 1)
    .executeTakeFirst();
  if (stopping) return false;
  await retryWhere(trx, theirs);
  return true;
}

async function retryWhere(trx: Trx, condition: Condition): Promise<JobRow[]> {
  const rows = await trx
    .updateTable('job')
    .set({
      ...queuedAt(Date.now()),
      attempts: 0,
      cancelRequested: 0,
      finishedAt: null,
      progress: null,
    })
    .where(condition)
    .where('status', 'in', ['failed', 'cancelled'])
    .returningAll()
    .execute();
  for (const row of rows) emitStatus(trx, row);
  return rows;
}

/** One statement, so that a job which starts or comes back at the same moment is not missed. */
async function cancelWhere(trx: Trx, condition: Condition): Promise<JobRow[]> {
  const now = Date.now();
  const rows = await trx
    .updateTable('job')
    .set((eb) => {
      const queued = eb('status', '=', 'queued');
      return {
        cancelRequested: 1,
        status: eb.case().when(queued).then('cancelled').else(eb.ref('status')).end(),
        finishedAt: eb.case().when(queued).then(now).else(eb.ref('finishedAt')).end(),
      };
    })
    .where(condition)
    .where('status', 'in', ['queued', 'running'])
    .returningAll()
    .execute();
  for (const row of rows) emitStatus(trx, row);
  return rows;
}
