/** The explicit retry, of a media or of one of its jobs; and the cancel of one job. */
import type { Trx } from '../../db/dialect.ts';
import type { JobRow, MediaRow } from '../../db/schema.ts';
import type { Config } from '../config.ts';
import { AppError } from '../errors.ts';
import { cancelJob, retryJob, retryMediaJobs } from '../jobs/queue.ts';
import { lockMedia, reopen } from '../media/media.ts';
import { EARLY, advance, isMissingExtra, mediaFailed, needsUpload, togetherWith } from '../pipeline/index.ts';
import { encodeHere } from './encode-here.ts';

type Settings = Pick<Config, 'encoding'>;

/**
 * Opens the next attempt of a failed media with its first jobs. With `encoder`, it is encoded by FFmpeg from now on, also
 * when it did not fail but plays from a provider. AppError 409 when that can't be.
 */
export async function retryMedia(
  trx: Trx,
  media: MediaRow,
  { encoding }: Settings,
  encoder?: 'ffmpeg',
): Promise<MediaRow> {
  const row = encoder ? await encodeHere(trx, media) : await reopen(trx, media.id, media.attempt);
  if (row) {
    await advance(trx, row, encoding);
    return row;
  }
  refuseWithoutUpload(media);
  throw new AppError(
    409,
    'not_failed',
    media.status === 'ready' && media.encoder !== 'ffmpeg'
      ? 'Only failed media can be retried; this one is ready. To have it encoded here, an admin can send {"encoder": "ffmpeg"}.'
      : `Only failed media can be retried; this one is ${media.status}.`,
  );
}

/** AppError 409 when the uploaded file is not there any more, or never was. */
export function refuseWithoutUpload(media: MediaRow): void {
  if (media.sourceDeletedAt !== null)
    throw new AppError(
      409,
      'source_gone',
      'The uploaded file was deleted when all was made of it, as KEEP_SOURCE says: upload it again.',
    );
  if (media.sourceKey === null && ['failed', 'ready'].includes(media.status))
    throw new AppError(409, 'source_missing', 'The file was never uploaded whole: upload it again.');
}

/** Statuses of a media that goes on, with or without an extra. */
const GOES_ON: readonly string[] = ['processing', 'playable', 'ready'];

/**
 * Runs a failed or cancelled job again. One that makes an extra (a poster) of a media that goes on runs again by itself.
 * Any other step can't run alone: its failed media is retried, and the job that does the step now is returned. AppError
 * 409 when there is nothing to retry.
 */
export async function retryOne(trx: Trx, job: JobRow, config: Settings): Promise<JobRow> {
  if (!['failed', 'cancelled'].includes(job.status)) throw notFailed(job);
  if (job.mediaAttempt === null) return again(trx, job);
  const media = await mediaOfStep(trx, job);
  if (!media)
    throw new AppError(
      409,
      'superseded',
      'This job is of an earlier attempt of its media, or of a deleted one.',
    );
  if (GOES_ON.includes(media.status)) return retryExtra(trx, media, job, config);
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

async function retryExtra(
  trx: Trx,
  { id, attempt }: MediaRow,
  job: JobRow,
  { encoding }: Settings,
): Promise<JobRow> {
  const media = await lockMedia(trx, id);
  if (media?.attempt !== attempt || !(await isMissingExtra(trx, media, job.task, encoding)))
    throw new AppError(
      409,
      'not_needed',
      `Its media is ${media?.status ?? 'gone'}, and does not wait for what this job makes.`,
    );
  if (needsUpload(job.task)) refuseWithoutUpload(media);
  const row = await again(trx, job);
  if (await retryMediaJobs(trx, media, togetherWith(job.task))) return row;
  throw new AppError(
    409,
    'not_failed',
    'A job that stopped with this one is still being stopped: try again when it is cancelled.',
  );
}

async function again(trx: Trx, job: JobRow): Promise<JobRow> {
  const row = await retryJob(trx, job.id);
  if (!row) throw notFailed(job);
  return row;
}

function notFailed({ status, cancelRequested }: JobRow): AppError {
  const stopping = status === 'running' && cancelRequested === 1;
  const said = stopping ? 'is being stopped: try again when it is cancelled' : isNow(status);
  return new AppError(409, 'not_failed', `Only failed and cancelled jobs can be retried; this one ${said}.`);
}

const isNow = (status: string): string => (status === 'succeeded' ? 'has succeeded' : `is ${status}`);

/**
 * Stops a job. Without an optional step its media goes on, as if it had failed. A media can't become ready without one
 * of the others, so it fails (and can be retried), and its other jobs stop too. AppError 409 when the job is over.
 */
export async function cancelOne(trx: Trx, job: JobRow, { encoding }: Settings): Promise<JobRow> {
  if (job.task === EARLY)
    throw new AppError(409, 'goes_with_upload', 'This job goes with its upload: cancel the media instead.');
  const row = await cancelJob(trx, job.id);
  if (!row) throw new AppError(409, 'already_finished', `This job ${isNow(job.status)}: nothing to cancel.`);
  const error = { code: 'job_cancelled', message: `The step “${job.task}” was cancelled.` };
  await mediaFailed(trx, job, error, encoding);
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
