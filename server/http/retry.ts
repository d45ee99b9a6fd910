/** The explicit retry, of a media or of one of its jobs. */
import type { Trx } from '../../db/dialect.ts';
import type { JobRow, MediaRow } from '../../db/schema.ts';
import type { Config } from '../config.ts';
import { AppError } from '../errors.ts';
import { cancelJob, retryJob } from '../jobs/queue.ts';
import { lockMedia, reopen } from '../media/media.ts';
import { EARLY, advance, failMedia } from '../pipeline/index.ts';

/** Opens the next attempt of a failed media with its first jobs. AppError 409 when it did not fail. */
export async function retryMedia(
  trx: Trx,
  media: MediaRow,
  { encoding }: Pick<Config, 'encoding'>,
): Promise<MediaRow> {
  const row = await reopen(trx, media.id, media.attempt);
  if (row) {
    await advance(trx, row, encoding);
    return row;
  }
  if (media.sourceDeletedAt !== null)
    throw new AppError(
      409,
      'source_gone',
      'The uploaded file was deleted when all was made of it, as KEEP_SOURCE says: upload it again.',
    );
  if (media.status === 'failed' && media.sourceKey === null)
    throw new AppError(409, 'source_missing', 'The file was never uploaded whole: upload it again.');
  throw new AppError(409, 'not_failed', `Only failed media can be retried; this one is ${media.status}.`);
}

/**
 * Runs a failed or cancelled job again. A step of a media can't run alone: its media is retried, and the job
 * that does the step now is returned. AppError 409 when there is nothing to retry.
 */
export async function retryOne(trx: Trx, job: JobRow, config: Pick<Config, 'encoding'>): Promise<JobRow> {
  const media = await mediaOfStep(trx, job);
  if (media) {
    const { id, attempt } = await retryMedia(trx, media, config);
    const jobs = await trx
      .selectFrom('job')
      .selectAll()
      .where('mediaId', '=', id)
      .where('mediaAttempt', '=', attempt)
      .orderBy('id')
      .execute();
    return jobs.find(({ task }) => task === job.task) ?? jobs[0] ?? job;
  }
  const row = job.mediaAttempt === null ? await retryJob(trx, job.id) : undefined;
  if (!row)
    throw new AppError(409, 'not_failed', `Only failed jobs can be retried; this one is ${job.status}.`);
  return row;
}

/**
 * Stops a job. A media can't become ready without one of its steps, so it fails (and can be retried), and its
 * other jobs stop too. AppError 409 when the job is over.
 */
export async function cancelOne(
  trx: Trx,
  job: JobRow,
  { encoding }: Pick<Config, 'encoding'>,
): Promise<JobRow> {
  if (job.task === EARLY)
    throw new AppError(409, 'goes_with_upload', 'This job goes with its upload: cancel the media instead.');
  const row = await cancelJob(trx, job.id);
  if (!row) throw new AppError(409, 'already_finished', `This job is ${job.status}: nothing to cancel.`);
  const media = await mediaOfStep(trx, job);
  const error = { code: 'job_cancelled', message: `The step “${job.task}” was cancelled.` };
  const locked = media && (await lockMedia(trx, media.id));
  if (locked?.attempt === job.mediaAttempt) await failMedia(trx, locked, { task: job.task, error }, encoding);
  return row;
}

/** The media whose current attempt this job is a step of. */
async function mediaOfStep(trx: Trx, job: JobRow): Promise<MediaRow | undefined> {
  if (job.mediaId === null || job.mediaAttempt === null) return undefined;
  return trx
    .selectFrom('media')
    .selectAll()
    .where('id', '=', job.mediaId)
    .where('attempt', '=', job.mediaAttempt)
    .where('deletedAt', 'is', null)
    .executeTakeFirst();
}
