/** What the holder of a lease may do, and how a lease ends. */
import { sql } from 'kysely';
import type { Db, Trx } from '../../db/dialect.ts';
import type { JobRow } from '../../db/schema.ts';
import { statement } from '../../db/statement.ts';
import { transact } from '../../db/transaction.ts';
import { emit } from '../events/events.ts';
import { isDead, OF_THIS_HOST } from '../holder.ts';
import { backoffMs } from './backoff.ts';
import type { ClaimedJob, JobFailure, JobProgress, Postponement } from './job.ts';
import {
  about,
  change,
  emitStatus,
  held,
  queuedAt,
  released,
  toClaimed,
  type Changes,
  type Condition,
  type Told,
} from './row.ts';

/** What follows when a job is dead: runs in the transaction that marks it failed. */
export type OnFailed = (trx: Trx, job: ClaimedJob, failure: JobFailure) => Promise<void>;

/** Renews the lease and stores progress. `cancel`: stop, then `fail`. `lost`: stop, the job is not yours any more. */
export async function heartbeat(
  db: Db,
  job: ClaimedJob,
  leaseMs: number,
  progress?: JobProgress,
): Promise<'ok' | 'cancel' | 'lost'> {
  const beat = async (trx: Trx): Promise<'ok' | 'cancel' | 'lost'> => {
    const row = await trx
      .updateTable('job')
      .set({
        leaseUntil: Date.now() + leaseMs,
        ...(progress ? { progress: JSON.stringify(progress) } : {}),
      })
      .where(held(job))
      .returning('cancelRequested')
      .executeTakeFirst();
    if (!row) return 'lost';
    if (progress)
      emit(trx, { type: 'job.progress', ...about(job), payload: { task: job.task, ...progress } });
    return row.cancelRequested ? 'cancel' : 'ok';
  };
  return transact(db, beat, { durable: false });
}

/** Which of these running jobs must stop, and why. A read: cheap enough to ask every second. */
export async function stopsOf(db: Db, jobs: ClaimedJob[]): Promise<Map<string, 'cancelled' | 'lost'>> {
  const ids = jobs.map((job) => job.id);
  const rows = ids.length
    ? await db
        .selectFrom('job')
        .select(['id', 'leaseToken', 'cancelRequested'])
        .where('id', 'in', ids)
        .execute()
    : [];
  const found = new Map(rows.map((row) => [row.id, row]));
  const stops = new Map<string, 'cancelled' | 'lost'>();
  for (const { id, leaseToken } of jobs) {
    const row = found.get(id);
    if (row?.leaseToken !== leaseToken) stops.set(id, 'lost');
    else if (row.cancelRequested) stops.set(id, 'cancelled');
  }
  return stops;
}

/**
 * Ends an attempt with success. False when the lease was lost or a cancel came first: then commit nothing
 * that the attempt produced.
 */
export async function complete(trx: Trx, job: ClaimedJob): Promise<boolean> {
  const [row] = await succeeded(trx, Date.now(), job.id, job.leaseToken);
  if (row) emitStatus(trx, row);
  return row !== undefined;
}

const succeeded = statement<Told>(
  () => `
  update job set status = 'succeeded', worker = null, lease_token = null, lease_until = null, finished_at = ?
   where id = ? and lease_token = ? and status = 'running' and cancel_requested = 0
  returning id, owner, media_id, task, status, attempts, cancel_requested, error_code, error_message`,
);

/** Locks the job until the transaction ends. False when it isn't this attempt's any more, or a cancel came. */
export async function hold(trx: Trx, job: ClaimedJob): Promise<boolean> {
  const row = await trx
    .updateTable('job')
    .set({ leaseToken: job.leaseToken })
    .where(held(job))
    .where('cancelRequested', '=', 0)
    .returning('id')
    .executeTakeFirst();
  return row !== undefined;
}

/**
 * Ends an attempt without success: `retry` after a backoff, or `failed` when that can't help or attempts are
 * used up (the caller then runs OnFailed), or `cancelled` when that was asked for. `lost` changes nothing.
 */
export async function fail(
  trx: Trx,
  job: ClaimedJob,
  failure: JobFailure,
): Promise<'retry' | 'failed' | 'cancelled' | 'lost'> {
  const row = await handBack(trx, job);
  if (!row) return 'lost';
  if (row.cancelRequested) return end(trx, row.id, 'cancelled');
  const reason = {
    errorCode: failure.code,
    errorMessage: failure.message,
    exitStatus: failure.exitStatus ?? null,
    logTail: failure.logTail ?? null,
  };
  if (failure.permanent || row.attempts >= row.maxAttempts) return end(trx, row.id, 'failed', reason);
  await change(trx, row.id, { ...queuedAt(Date.now() + backoffMs(row.attempts)), ...reason });
  return 'retry';
}

/**
 * Hands a job back unharmed: the attempt doesn't count. At once for other workers, e.g. at shutdown, or after the time
 * of a postponement, whose reason is kept in the row.
 */
export async function release(db: Db, job: ClaimedJob, postponed?: Postponement): Promise<void> {
  await transact(db, async (trx) => {
    const row = await handBack(trx, job);
    if (row?.cancelRequested) await end(trx, row.id, 'cancelled');
    else if (row)
      await change(trx, row.id, {
        ...queuedAt(Date.now() + (postponed?.delayMs ?? 0)),
        attempts: row.attempts - 1,
        ...(postponed ? { errorCode: postponed.code, errorMessage: postponed.message } : {}),
      });
  });
}

const LOST_WORKER: JobFailure = {
  code: 'worker_lost',
  message: 'The worker stopped without a word, e.g. because it was killed or ran out of memory.',
  permanent: false,
};

/**
 * Takes jobs from workers that stopped renewing their lease, or whose process is dead: back into the queue at once, or failed
 * with `worker_lost` when no attempt is left, so that a job that kills its worker ends. Returns how many.
 */
export async function requeueLapsed(db: Db, onFailed: OnFailed): Promise<number> {
  const now = Date.now();
  const doubtful = await db
    .selectFrom('job')
    .selectAll()
    .where('status', '=', sql.lit('running'))
    .where((eb) => eb.or([eb('leaseUntil', '<', now), eb('worker', 'like', `${OF_THIS_HOST}%`)]))
    .orderBy('leaseUntil')
    .execute();
  const lost = doubtful.filter(({ leaseUntil, worker }) => (leaseUntil ?? 0) < now || isDead(worker ?? ''));
  let count = 0;
  const errors: unknown[] = [];
  for (const row of lost)
    await transact(db, (trx) => takeBack(trx, row, now, onFailed)).then(
      (taken) => (count += Number(taken)),
      (error) => errors.push(error), // one bad job must not keep the others
    );
  if (errors.length) throw errors[0];
  return count;
}

async function takeBack(trx: Trx, lost: JobRow, now: number, onFailed: OnFailed): Promise<boolean> {
  const job = toClaimed(lost);
  // It may have been renewed meanwhile; not by the dead.
  const row = await handBack(
    trx,
    job,
    isDead(lost.worker ?? '') ? undefined : (eb) => eb('leaseUntil', '<', now),
  );
  if (!row) return false;
  const reason = {
    errorCode: LOST_WORKER.code,
    errorMessage: LOST_WORKER.message,
    exitStatus: null,
    logTail: null,
  };
  if (row.cancelRequested) await end(trx, row.id, 'cancelled');
  else if (row.attempts < row.maxAttempts) await change(trx, row.id, { ...queuedAt(now), ...reason });
  else {
    await end(trx, row.id, 'failed', reason);
    await onFailed(trx, job, LOST_WORKER);
  }
  return true;
}

/** Gives up the lease and locks the row until the transaction ends, which must set the next status. */
async function handBack(trx: Trx, job: ClaimedJob, condition?: Condition): Promise<JobRow | undefined> {
  let update = trx.updateTable('job').set(released).where(held(job));
  if (condition) update = update.where(condition);
  return update.returningAll().executeTakeFirst();
}

async function end<S extends 'failed' | 'cancelled'>(
  trx: Trx,
  id: string,
  status: S,
  changes: Changes = {},
): Promise<S> {
  await change(trx, id, { status, finishedAt: Date.now(), ...changes });
  return status;
}
