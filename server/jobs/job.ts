/**
 * Words of the queue.
 *
 * - task:      the name of a function, e.g. `probe`; it runs the jobs of that name
 * - job:       a row: one thing to be done once
 * - attempt:   one run of a job by a worker
 * - lease:     a worker's right to run an attempt; it lapses unless heartbeats renew it
 * - key:       unique name of a job; adding the same key again adds nothing
 * - run at:    not before this time (backoff)
 * - priority:  higher first
 */
import type { Trx } from '../../db/dialect.ts';
import type { Logger } from '../telemetry.ts';

export const JOB_STATUSES = ['queued', 'running', 'succeeded', 'failed', 'cancelled'] as const;
export type JobStatus = (typeof JOB_STATUSES)[number];

export interface NewJob {
  key: string;
  task: string;
  mediaId?: string | undefined;
  mediaAttempt?: number | undefined;
  owner?: string | undefined;
  payload?: Record<string, unknown>;
  /** Default 0. */
  priority?: number;
  /** Default 5. */
  maxAttempts?: number;
  /** Milliseconds since the epoch; default now. */
  runAt?: number;
}

/** A job as its task sees it. */
export interface ClaimedJob {
  id: string;
  key: string;
  task: string;
  mediaId: string | null;
  mediaAttempt: number | null;
  owner: string | null;
  payload: Record<string, unknown>;
  /** 1 for the first run. */
  attempts: number;
  maxAttempts: number;
  leaseToken: string;
}

export interface JobProgress {
  /** 0 to 100, one decimal. */
  percent: number;
  /** Times real time, e.g. 3.2. */
  speed?: number;
  /** What is being done, e.g. `Encoding 1080p, 720p`. */
  stage?: string;
}

/** Why an attempt ended without success. */
export interface JobFailure {
  /** Stable, snake_case. */
  code: string;
  message: string;
  /** True: trying again can't help. */
  permanent: boolean;
  exitStatus?: string | undefined;
  logTail?: string | undefined;
}

/** What a running attempt gets. */
export interface JobContext {
  job: ClaimedJob;
  /** Aborted on cancel, on a lost lease and on shutdown; `signal.reason` is a `JobStop`. */
  signal: AbortSignal;
  /** Cheap: written at most every second, the newest only. */
  progress: (progress: JobProgress) => void;
  /**
   * Commits results before the job's end, in one transaction with the proof that it is still ours. Rejects when it
   * isn't (or a cancel came): then nothing was committed, and the attempt should end.
   */
  checkpoint: (commit: Commit) => Promise<void>;
  logger: Logger;
}

/** Why a running attempt must stop. */
export type JobStop = 'cancelled' | 'lost' | 'shutdown' | 'timeout';

/**
 * Runs in the transaction that completes the job, after the completion was found to be ours:
 * results, transitions and follow-up jobs commit with it or not at all. Database only.
 */
export type Commit = (trx: Trx) => Promise<void>;

/** Runs one attempt. Resolves with what to commit; throws `JobError` (or anything: retryable, code `internal`). */
export type Task = (context: JobContext) => Promise<Commit | void>;

export class JobError extends Error {
  readonly failure: JobFailure;
  constructor(failure: JobFailure, options?: ErrorOptions) {
    super(failure.message, options);
    this.name = 'JobError';
    this.failure = failure;
  }
}

/** Why a job must wait although it was claimed. */
export interface Postponement {
  /** Stable, snake_case. */
  code: string;
  message: string;
  /** Milliseconds until a worker may look again. */
  delayMs: number;
}

/** Thrown by a task that can't start yet: its job waits in the queue, and the attempt doesn't count. */
export class JobPostponed extends Error {
  readonly postponement: Postponement;
  constructor(postponement: Postponement) {
    super(postponement.message);
    this.name = 'JobPostponed';
    this.postponement = postponement;
  }
}
