/** One attempt of a job: runs its task, keeps the lease, and records how it ended. */
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db, Trx } from '../../db/dialect.ts';
import { transact } from '../../db/transaction.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../telemetry.ts';
import {
  JobError,
  JobPostponed,
  type ClaimedJob,
  type Commit,
  type JobFailure,
  type JobStop,
  type Task,
} from './job.ts';
import { complete, fail, hold, release, type OnFailed } from './lease.ts';
import { keepLease } from './pulse.ts';

export interface AttemptOptions {
  db: Db;
  tasks: Record<string, Task>;
  leaseMs: number;
  logger: Logger;
  onFailed: OnFailed;
}

export interface Attempt {
  job: ClaimedJob;
  /** Aborts the task's signal with this reason; the first one counts. */
  stop: (reason: JobStop) => void;
  /** Resolves when the task has ended and its end is recorded. Never rejects. */
  finished: Promise<void>;
}

type Outcome = { commit: Commit | void } | { error: unknown };

export function startAttempt(options: AttemptOptions, job: ClaimedJob): Attempt {
  const controller = new AbortController();
  setMaxListeners(Infinity, controller.signal); // one for each request that is on its way
  const logger = options.logger.child({
    job: job.id,
    task: job.task,
    media: job.mediaId,
    attempt: job.attempts,
  });
  const stop = (reason: JobStop): void => controller.abort(reason); // a second abort has no effect
  const pulse = keepLease({ db: options.db, job, leaseMs: options.leaseMs, logger, stop });

  const run = async (): Promise<Outcome> => {
    try {
      const task = options.tasks[job.task];
      if (!task) throw new Error(`there is no task ${job.task}`);
      const { signal } = controller;
      const checkpoint = (commit: Commit): Promise<void> =>
        persist(() => transact(options.db, (trx) => commitHeld(trx, job, commit)));
      return { commit: await task({ job, signal, progress: pulse.report, checkpoint, logger }) };
    } catch (error) {
      return { error };
    }
  };
  const record = async (outcome: Outcome): Promise<void> => {
    try {
      const end = await settle(options, job, outcome, () => controller.signal.reason as JobStop | undefined);
      logger.info(`${job.task} ${end}`);
    } catch (error) {
      logger.error(
        { err: error },
        'the end of a job was not recorded; it runs again when its lease has lapsed',
      );
    } finally {
      pulse.end();
    }
  };
  return { job, stop, finished: run().then(record) };
}

/**
 * Records the end and says in a word what it was. Which end is still ours to record is the database's decision
 * by the lease token, not ours by what we were told.
 */
async function settle(
  options: AttemptOptions,
  job: ClaimedJob,
  outcome: Outcome,
  stopped: () => JobStop | undefined,
): Promise<string> {
  const { db } = options;
  let error = 'error' in outcome ? outcome.error : undefined;
  if ('commit' in outcome)
    try {
      if (await persist(() => succeed(db, job, outcome.commit))) return 'succeeded';
      error = new Error('It was cancelled, or its lease was lost.');
    } catch (reason) {
      error = reason;
    }
  const reason = stopped();
  if (reason === 'shutdown' || reason === 'lost') {
    await persist(() => release(db, job));
    return `handed back (${reason})`;
  }
  if (error instanceof JobPostponed && reason === undefined) {
    const { postponement } = error;
    await persist(() => release(db, job, postponement));
    return `postponed (${postponement.code})`;
  }
  return persist(() => recordFailure(options, job, failureOf(error)));
}

/**
 * The task's results commit together with the completion, or not at all. A completion without results may be forgotten
 * by a power cut: then the job runs again, as it would have if the power had failed a moment earlier.
 */
export async function succeed(db: Db, job: ClaimedJob, commit: Commit | void): Promise<boolean> {
  const work = async (trx: Trx): Promise<boolean> => {
    if (!(await complete(trx, job))) return false;
    await commit?.(trx);
    return true;
  };
  return transact(db, work, { durable: commit !== undefined });
}

async function commitHeld(trx: Trx, job: ClaimedJob, commit: Commit): Promise<void> {
  if (!(await hold(trx, job))) throw new JobError(NOT_OURS);
  await commit(trx);
}

/** Never recorded: recording it needs the lease too. */
const NOT_OURS = {
  code: 'lease_lost',
  message: 'It was cancelled, or its lease was lost.',
  permanent: false,
};

async function recordFailure(options: AttemptOptions, job: ClaimedJob, failure: JobFailure): Promise<string> {
  const end = await transact(options.db, async (trx) => {
    const result = await fail(trx, job, failure);
    if (result === 'failed') await options.onFailed(trx, job, failure);
    return result;
  });
  if (end === 'retry' || end === 'failed')
    options.logger.warn({ job: job.id, media: job.mediaId, ...failure }, `${job.task}: ${failure.message}`);
  return end;
}

function failureOf(error: unknown): JobFailure {
  if (error instanceof JobError) return error.failure;
  const logTail = error instanceof Error ? error.stack : undefined;
  return { code: 'internal', message: messageOf(error), permanent: false, logTail };
}

/** Tries again for some seconds, e.g. over a restart of the database: hours of encoding may hang on it. */
async function persist<T>(write: () => Promise<T>): Promise<T> {
  for (let delay = 250; delay <= 4_000; delay *= 2)
    try {
      return await write();
    } catch (error) {
      if (error instanceof JobError) throw error;
      await sleep(delay);
    }
  return write();
}
