/** Jobs as the API shows them. */
import type { JobRow } from '../../db/schema.ts';
import type { JobProgress } from '../jobs/job.ts';
import { isoTime } from './media-view.ts';

/** A job in a list. `attempts` counts the runs so far; `error` is that of the last run. */
export function viewJob(job: JobRow) {
  return {
    id: job.id,
    task: job.task,
    status: job.status,
    attempts: job.attempts,
    maxAttempts: job.maxAttempts,
    mediaId: job.mediaId,
    mediaAttempt: job.mediaAttempt,
    owner: job.owner,
    priority: job.priority,
    progress: progressOf(job),
    ...(job.errorCode === null ? {} : { error: errorOf(job) }),
    createdAt: isoTime(job.createdAt),
    runAt: isoTime(job.runAt),
    startedAt: timeOrNull(job.startedAt),
    finishedAt: timeOrNull(job.finishedAt),
  };
}

/** A job by itself: with the last lines of its log, and the worker that has it. */
export function viewJobWhole(job: JobRow) {
  return {
    ...viewJob(job),
    worker: job.worker,
    leaseUntil: timeOrNull(job.leaseUntil),
    cancelRequested: job.cancelRequested === 1,
    logTail: job.logTail,
  };
}

/** What the worker said last; the end is reached without being said. */
function progressOf({ status, progress }: JobRow): JobProgress | null {
  const said = progress === null ? null : (JSON.parse(progress) as JobProgress);
  return status === 'succeeded' ? { ...said, percent: 100 } : said;
}

const errorOf = ({ errorCode: code, errorMessage: message, exitStatus }: JobRow) => ({
  code,
  message,
  exitStatus,
});

const timeOrNull = (ms: number | null): string | null => (ms === null ? null : isoTime(ms));
