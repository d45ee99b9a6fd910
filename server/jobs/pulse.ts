/** Heartbeats of one attempt. */
import type { Db } from '../../db/dialect.ts';
import type { Logger } from '../telemetry.ts';
import type { ClaimedJob, JobProgress, JobStop } from './job.ts';
import { heartbeat } from './lease.ts';

const PROGRESS_MS = 1_000;

export interface PulseOptions {
  db: Db;
  job: ClaimedJob;
  leaseMs: number;
  logger: Logger;
  stop: (reason: JobStop) => void;
}

export interface Pulse {
  /** Stored within a second; of several reports in that time only the last. */
  report: (progress: JobProgress) => void;
  end: () => void;
}

/**
 * Renews the lease at a third of its time, and with each progress. Stops the attempt when the job was cancelled or
 * taken away, and when the database could not be told for a whole lease: somebody else may have it by now.
 */
export function keepLease({ db, job, leaseMs, logger, stop }: PulseOptions): Pulse {
  let progress: JobProgress | undefined;
  let renewedAt = Date.now();
  let beating = false;

  const beat = async (): Promise<void> => {
    const startedAt = Date.now();
    const sent = progress;
    progress = undefined;
    try {
      const answer = await heartbeat(db, job, leaseMs, sent);
      renewedAt = startedAt;
      if (answer !== 'ok') stop(answer === 'cancel' ? 'cancelled' : 'lost');
    } catch (error) {
      progress ??= sent;
      logger.warn({ err: error }, 'heartbeat failed; trying again');
    }
  };
  const tick = (): void => {
    const silentMs = Date.now() - renewedAt;
    if (!beating && (progress || silentMs >= leaseMs / 3)) {
      beating = true;
      void beat().finally(() => {
        beating = false;
        if (Date.now() - renewedAt > leaseMs) stop('lost');
      });
    } else if (beating && silentMs > leaseMs) stop('lost');
  };
  const timer = setInterval(tick, Math.min(PROGRESS_MS, leaseMs / 3));
  return { report: (value) => (progress = value), end: () => clearInterval(timer) };
}
