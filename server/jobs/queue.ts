/**
 * The queue: rows of `job`, and the only code that writes their status.
 *
 *     queued -> running -> succeeded
 *        ^         |-----> queued      a retry, a lapsed lease, a shutdown
 *        |         '-----> failed      attempts used up, or the failure is permanent
 *        |-----------------> cancelled (from queued at once, from running when its worker has stopped)
 *     failed, cancelled -> queued      by retryJob only
 *
 * A claim hands out a lease token. Whatever an attempt changes later must carry the token, so a worker that
 * lost its lease changes nothing. Leases are compared with this machine's clock: keep clocks within seconds.
 */
import { sql, type Insertable } from 'kysely';
import { type Db, type Trx } from '../../db/dialect.ts';
import type { JobTable } from '../../db/schema.ts';
import { among, statement, type Statement } from '../../db/statement.ts';
import { transact } from '../../db/transaction.ts';
import { newId } from '../ids.ts';
import type { ClaimedJob, NewJob } from './job.ts';
import { emitStatus, queuedAt, toClaimed, type Told } from './row.ts';
import { turnsInOrder } from './turn.ts';

export { cancelJob, cancelMediaJobs, retryJob, retryMediaJobs } from './cancel.ts';
export { complete, fail, heartbeat, hold, release, requeueLapsed, stopsOf, type OnFailed } from './lease.ts';

/** Adds a job to this transaction. False when its key exists already: then nothing is added. */
export async function add(trx: Trx, job: NewJob): Promise<boolean> {
  return (await addAll(trx, [job])) === 1;
}

/** Of one statement: SQLite takes 32,766 values. */
const ROWS_AT_ONCE = 500;

/** Adds jobs, in this order, to this transaction, but those whose key exists already. How many were added. */
export async function addAll(trx: Trx, jobs: readonly NewJob[]): Promise<number> {
  const now = Date.now();
  const turnOf = turnsInOrder(trx);
  const values: Insertable<JobTable>[] = [];
  for (const job of jobs) {
    const { owner = null, priority = 0 } = job;
    values.push({
      id: newId(),
      key: job.key,
      task: job.task,
      mediaId: job.mediaId ?? null,
      mediaAttempt: job.mediaAttempt ?? null,
      owner,
      ...queuedAt(job.runAt ?? now),
      priority,
      turn: await turnOf(owner, priority),
      attempts: 0,
      maxAttempts: job.maxAttempts ?? 5,
      payload: JSON.stringify(job.payload ?? {}),
      cancelRequested: 0,
      createdAt: now,
    });
  }
  let added = 0;
  for (let at = 0; at < values.length; at += ROWS_AT_ONCE) {
    const rows = await trx
      .insertInto('job')
      .values(values.slice(at, at + ROWS_AT_ONCE))
      .onConflict((oc) => oc.column('key').doNothing())
      .returningAll()
      .execute();
    for (const row of rows) emitStatus(trx, row);
    added += rows.length;
  }
  return added;
}

/** Makes a job due that waits for its first run. False when there is none: what was put off, or failed, keeps its distance. */
export async function hasten(trx: Trx, key: string): Promise<boolean> {
  const rows = await trx
    .updateTable('job')
    .set(queuedAt(Date.now()))
    .where('key', '=', key)
    .where('status', '=', 'queued')
    .where('delayed', '=', 1)
    .where('attempts', '=', 0)
    .where('errorCode', 'is', null)
    .returningAll()
    .execute();
  for (const row of rows) emitStatus(trx, row);
  return rows.length > 0;
}

export interface ClaimOptions {
  /** Name of the worker, for people who look at the row. */
  worker: string;
  /** The tasks it knows; jobs of other tasks are left to other workers. */
  tasks: string[];
  leaseMs: number;
}

type Claimable = Told & Parameters<typeof toClaimed>[0];

const claims = new Map<number, Statement<Claimable>>();

/**
 * Status and `delayed` are literals, or SQLite can't use the partial index; it is named, or SQLite may prefer another. Whether a
 * job is due was decided when it was added or promoted: a worker whose clock is behind, or was set back, need not agree.
 */
function claimOf(tasks: number): Statement<Claimable> {
  const made = statement<Claimable>(
    (postgres) => `
    update job set status = 'running', attempts = attempts + 1, worker = ?, lease_token = ?,
                   lease_until = ?, started_at = ?, progress = null
     where id = (select id from job ${postgres ? '' : 'indexed by job_ready'}
                  where status = 'queued' and delayed = 0
                    and task in (${Array(tasks).fill('?').join(', ')})
                  order by priority desc, turn, run_at, id limit 1 ${postgres ? 'for update skip locked' : ''})
    returning id, key, task, media_id, media_attempt, owner, payload, status, attempts, max_attempts,
              lease_token, cancel_requested, error_code, error_message`,
  );
  claims.set(tasks, made);
  return made;
}

/**
 * Takes the next job that is due: by priority, then the owners' turns. No other worker gets it. A power cut may forget
 * that it was taken: then it is still in the queue.
 */
export async function claim(db: Db, options: ClaimOptions): Promise<ClaimedJob | undefined> {
  const next = () => transact(db, (trx) => take(trx, options), { durable: false });
  return (await next()) ?? ((await promote(db)) ? next() : undefined);
}

async function take(trx: Trx, { worker, tasks, leaseMs }: ClaimOptions): Promise<ClaimedJob | undefined> {
  const now = Date.now();
  const update = claims.get(tasks.length) ?? claimOf(tasks.length);
  const [row] = await update(trx, worker, newId(), now + leaseMs, now, ...tasks);
  if (!row) return undefined;
  emitStatus(trx, row);
  return toClaimed(row);
}

const dueOf = statement<{ ready: unknown; delayed: unknown }>(
  (postgres) => `
  select exists (select 1 from job ${postgres ? '' : 'indexed by job_ready'}
                  where status = 'queued' and delayed = 0
                    and ${among('task', postgres)}) as ready,
         exists (select 1 from job where status = 'queued' and delayed = 1 and run_at <= ?) as delayed`,
);

/** Whether a claim would find something: one read, which costs a worker that has nothing to do far less than to claim in vain. */
export async function isDue(db: Db, tasks: string[]): Promise<boolean> {
  const now = Date.now();
  const [found] = await dueOf(db, tasks, now);
  return Boolean(found?.ready) || Boolean(found?.delayed);
}

/**
 * How many jobs of this priority or a higher one run now or could run, on all workers; counted up to `most`, so that it
 * costs the same however many wait.
 */
export async function countPressing(db: Db, priority: number, most: number): Promise<number> {
  const jobs = db.selectFrom('job').select('id').where('priority', '>=', priority).limit(most);
  const queued = await jobs
    .where('status', '=', sql.lit('queued'))
    .where('delayed', '=', sql.lit(0))
    .execute();
  const running = await jobs.where('status', '=', sql.lit('running')).execute();
  return Math.min(most, queued.length + running.length);
}

const someDelayed = statement<{ id: string }>(
  () => `select id from job where status = 'queued' and delayed = 1 and run_at <= ? limit 1`,
);
const promoteSome = statement<{ id: string }>(
  (postgres) => `
  update job set delayed = 0
   where id in (select id from job where status = 'queued' and delayed = 1 and run_at <= ?
                 order by run_at limit 1000 ${postgres ? 'for update skip locked' : ''})
  returning id`,
);

/**
 * Moves jobs whose time has come to those that claims look at; true when there were any. A claim that finds nothing
 * does it, and workers do it regularly. Without it every claim would walk over all jobs that wait for their time.
 */
export async function promote(db: Db): Promise<boolean> {
  const now = Date.now();
  if (!(await someDelayed(db, now)).length) return false;
  return (await transact(db, (trx) => promoteSome(trx, now), { durable: false })).length > 0;
}
