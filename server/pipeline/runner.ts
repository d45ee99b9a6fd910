/** Turns a step into a task of the queue. */
import type { MediaRow } from '../../db/schema.ts';
import type { Context } from '../context.ts';
import type { Commit, JobContext, Task } from '../jobs/job.ts';
import { lockMedia } from '../media/media.ts';
import type { Source } from '../media/source.ts';
import { ObjectMissingError } from '../storage/storage.ts';
import { advance } from './advance.ts';
import { needsOf, reserve } from './admission.ts';
import { refuse, stepFailure } from './failures.ts';
import type { Ffmpeg } from './ffmpeg/ffmpeg.ts';
import type { Needs } from './footprint.ts';
import { postponedByStorage } from './outage.ts';
import { KeptSources } from './source/kept-sources.ts';
import { withScratch } from './scratch.ts';
import type { Step, StepContext } from './step.ts';

/** Of each context: what its attempts have fetched from remote storage. */
const kept = new WeakMap<Context, KeptSources>();

export function keptSources(ctx: Context): KeptSources {
  const sources = kept.get(ctx) ?? new KeptSources(ctx.config.encoding.scratchDir);
  kept.set(ctx, sources);
  return sources;
}

/** Statuses in which a media wants its steps' work: a poster may come after everything else. */
const WANTED = ['processing', 'playable', 'ready'];

/** A task that does nothing when its media is gone, stopped or in a newer attempt. */
export function taskOf(step: Step, ctx: Context, ffmpeg: Ffmpeg): Task {
  return async (jobContext) => {
    const { job } = jobContext;
    const media = await ctx.db
      .selectFrom('media')
      .selectAll()
      .where('id', '=', job.mediaId ?? '')
      .executeTakeFirst();
    if (!media || !isIn(media, job.mediaAttempt, WANTED)) return undefined;
    try {
      return await withScratch(ctx.config.encoding.scratchDir, job, async (scratch, name) => {
        const attempt = async (held: number): Promise<Commit> => {
          await reserve(ctx.config.encoding, name, await needs(ctx, step, media, jobContext.signal), held);
          const commit = await step.run(stepContext(ctx, ffmpeg, jobContext, media, scratch));
          return commitStep(ctx, media, commit);
        };
        return keptSources(ctx).working(media.id, step.fromStored ? undefined : scratch, attempt);
      });
    } catch (error) {
      const postponed = await postponedByStorage(error, ctx.storage, jobContext.signal);
      throw postponed ?? stepFailure(error, job.attempts);
    }
  };
}

async function needs(
  { config, storage }: Context,
  step: Step,
  media: MediaRow,
  signal: AbortSignal,
): Promise<Needs> {
  const source = media.source ? (JSON.parse(media.source) as Source) : undefined;
  const remote = storage.driver === 's3';
  const unknown = remote && !source && media.sourceKey;
  const size = unknown ? (await storage.stat(unknown, signal))?.size : source?.size;
  return needsOf(step, { size: size ?? 0, source }, config.encoding, remote);
}

/** The media is there, in this attempt and one of these statuses. */
export const isIn = (media: MediaRow, attempt: number | null, statuses: readonly string[]): boolean =>
  media.attempt === attempt && media.deletedAt === null && statuses.includes(media.status);

/** The step's rows and what follows from them, unless the media was stopped or deleted meanwhile. */
export function commitStep(
  { config }: Context,
  media: MediaRow,
  commit: Commit,
  wanted: readonly string[] = WANTED,
): Commit {
  return async (trx) => {
    const row = await lockMedia(trx, media.id);
    if (!row || !isIn(row, media.attempt, wanted)) return;
    await commit(trx);
    await advance(
      trx,
      await trx.selectFrom('media').selectAll().where('id', '=', row.id).executeTakeFirstOrThrow(),
      config.encoding,
    );
  };
}

/** What a step gets; `wanted` are the statuses in which the media takes what it commits. */
export function stepContext(
  ctx: Context,
  ffmpeg: Ffmpeg,
  jobContext: JobContext,
  media: MediaRow,
  scratch: string,
  wanted: readonly string[] = WANTED,
): StepContext {
  const { job, signal, logger } = jobContext;
  return {
    progress: (progress) => jobContext.progress(progress),
    commit: (work) => jobContext.checkpoint(commitStep(ctx, media, work, wanted)),
    ...{ media, scratch, ffmpeg, signal, db: ctx.db, storage: ctx.storage, encoding: ctx.config.encoding },
    ...{ attempt: job.attempts, payload: job.payload },
    logger: logger.child({ media: media.id, job: job.id }),
    sourcePath: () => localSource(ctx, media, scratch, signal),
    source: () => {
      if (!media.source) throw new Error(`media ${media.id} was not probed`);
      return JSON.parse(media.source) as Source;
    },
  };
}

async function localSource(
  ctx: Context,
  media: MediaRow,
  scratch: string,
  signal: AbortSignal,
): Promise<string> {
  if (media.sourceDeletedAt !== null)
    throw refuse('source_gone', 'The uploaded file was deleted, as KEEP_SOURCE says. Upload it again.');
  const { storage } = ctx;
  const get = (): Promise<string> => storage.localPath(media.sourceKey ?? '', scratch, signal);
  try {
    return await (storage.driver === 's3' ? keptSources(ctx).fetch(media.id, scratch, get, signal) : get());
  } catch (error) {
    if (error instanceof ObjectMissingError)
      throw refuse('source_missing', 'The uploaded file is not in storage any more. Upload it again.');
    throw error;
  }
}
