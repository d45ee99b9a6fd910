/** Claims jobs and runs them, some at a time. */
import { setTimeout as sleep } from 'node:timers/promises';
import { onCommit } from '../../db/transaction.ts';
import { createBell } from '../events/bell.ts';
import { hasNews } from '../events/events.ts';
import { createHolderNames } from '../holder.ts';
import { startAttempt, type Attempt, type AttemptOptions } from './attempt.ts';
import { claim, isDue, promote, release, requeueLapsed, stopsOf } from './queue.ts';

/** How often the database is asked for news of other processes; news of this one rings at once. */
const POLL_MS = 500;
/** After an error of the database. */
const RETRY_MS = 1_000;

export interface WorkerOptions extends AttemptOptions {
  /** Jobs at a time. */
  concurrency: number;
}

export interface Worker {
  /**
   * Claims nothing more, aborts running attempts with reason `shutdown` and waits for them `graceMs` at most.
   * Whatever did not finish is handed back, so that another worker can have it at once.
   */
  stop(graceMs: number): Promise<void>;
}

/** Starts claiming at once. An error of the database never ends it: it is logged, and tried again. */
export function startWorker(options: WorkerOptions): Worker {
  const { db, logger, concurrency, leaseMs } = options;
  const names = createHolderNames();
  const offer = {
    worker: names.next(),
    tasks: Object.keys(options.tasks),
    leaseMs,
  };
  const running = new Set<Attempt>();
  const bell = createBell();
  const silence = onCommit(db, (trx) => {
    if (hasNews(trx)) bell.ring();
  });
  let stopping = false;
  let lapsesAt = 0;
  let promotesAt = 0;

  const start = (attempt: Attempt): void => {
    running.add(attempt);
    void attempt.finished.then(() => {
      running.delete(attempt);
      bell.ring();
    });
  };
  const fill = async (): Promise<void> => {
    while (!stopping && running.size < concurrency) {
      const job = await claim(db, offer);
      if (!job) return;
      if (stopping) await release(db, job);
      else start(startAttempt(options, job));
    }
  };
  const obeyStops = async (): Promise<void> => {
    const attempts = [...running];
    const stops = await stopsOf(
      db,
      attempts.map(({ job }) => job),
    );
    for (const { job, stop } of attempts) {
      const reason = stops.get(job.id);
      if (reason) stop(reason);
    }
  };
  const takeLapsed = async (): Promise<void> => {
    if (performance.now() < lapsesAt) return;
    lapsesAt = performance.now() + leaseMs / 3;
    const count = await requeueLapsed(db, options.onFailed);
    if (count) logger.warn(`took ${count} jobs from workers that are gone`);
  };
  const promoteDue = async (): Promise<void> => {
    if (performance.now() < promotesAt) return;
    promotesAt = performance.now() + POLL_MS;
    await promote(db);
  };
  const loop = async (): Promise<void> => {
    for (let called = true; !stopping;)
      try {
        await obeyStops();
        await takeLapsed();
        if (running.size < concurrency && (called || (await isDue(db, offer.tasks)))) {
          await promoteDue();
          await fill();
        }
        called = await bell.wait(POLL_MS);
      } catch (error) {
        logger.error({ err: error }, 'the queue can not be read; trying again');
        await sleep(RETRY_MS);
      }
  };
  const looped = loop();

  const drain = async (): Promise<void> => {
    for (const { stop } of running) stop('shutdown');
    await looped;
    await Promise.all([...running].map(({ finished }) => finished));
  };
  return {
    async stop(graceMs) {
      stopping = true;
      silence();
      bell.ring();
      await Promise.race([drain(), sleep(graceMs, undefined, { ref: false })]);
      for (const { job } of running) await release(db, job);
      names.retire();
    },
  };
}
