/** What the files of the queue share: conditions on a row, its changes, and the event of each. */
import { type Expression, type ExpressionBuilder, type SqlBool, type Updateable } from 'kysely';
import type { Trx } from '../../db/dialect.ts';
import type { JobRow, JobTable, Schema } from '../../db/schema.ts';
import { emit } from '../events/events.ts';
import type { ClaimedJob } from './job.ts';

export type Condition = (eb: ExpressionBuilder<Schema, 'job'>) => Expression<SqlBool>;
export type Changes = Updateable<JobTable>;

/** Columns of a row that nobody runs. */
export const released = { worker: null, leaseToken: null, leaseUntil: null } as const;

/** The row as long as this lease holds it, lapsed or not. */
export const held =
  (job: ClaimedJob): Condition =>
  (eb) =>
    eb.and({ id: job.id, leaseToken: job.leaseToken, status: 'running' });

/** Columns of a row that comes into the queue, to be run at `runAt`. */
export const queuedAt = (runAt: number) => ({
  status: 'queued',
  runAt,
  delayed: runAt > Date.now() ? 1 : 0,
});

/** Changes a row that this transaction has locked, and tells of it. */
export async function change(trx: Trx, id: string, changes: Changes): Promise<void> {
  const row = await trx
    .updateTable('job')
    .set(changes)
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
  emitStatus(trx, row);
}

/** A running row as its task sees it. */
export function toClaimed(
  row: Omit<ClaimedJob, 'payload' | 'leaseToken'> & Pick<JobRow, 'payload' | 'leaseToken'>,
): ClaimedJob {
  const { id, key, task, mediaId, mediaAttempt, owner, attempts, maxAttempts } = row;
  const payload = JSON.parse(row.payload) as Record<string, unknown>;
  return {
    id,
    key,
    task,
    mediaId,
    mediaAttempt,
    owner,
    payload,
    attempts,
    maxAttempts,
    leaseToken: row.leaseToken!,
  };
}

/** Whom an event about this job concerns. */
export const about = (job: Pick<JobRow, 'id' | 'owner' | 'mediaId'>) => ({
  owner: job.owner,
  mediaId: job.mediaId,
  jobId: job.id,
});

/** What an event of a job's status tells. */
export type Told = Pick<
  JobRow,
  | 'id'
  | 'owner'
  | 'mediaId'
  | 'task'
  | 'status'
  | 'attempts'
  | 'cancelRequested'
  | 'errorCode'
  | 'errorMessage'
>;

/** `job.status`: {jobId, task, status, attempts, cancelRequested?, error?}. */
export function emitStatus(trx: Trx, row: Told): void {
  const failed = row.errorCode && (row.status === 'failed' || (row.status === 'queued' && row.attempts > 0));
  emit(trx, {
    type: 'job.status',
    ...about(row),
    payload: {
      jobId: row.id,
      task: row.task,
      status: row.status,
      attempts: row.attempts,
      ...(row.status === 'running' && row.cancelRequested ? { cancelRequested: true } : {}),
      ...(failed ? { error: { code: row.errorCode, message: row.errorMessage } } : {}),
    },
  });
}
