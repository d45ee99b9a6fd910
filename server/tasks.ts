/** Every task of this installation: the pipeline's steps, and the cleaning up that follows an end. */
import type { Context } from './context.ts';
import { emit } from './events/events.ts';
import { JobError, JobPostponed, type ClaimedJob, type Commit, type Task } from './jobs/job.ts';
import { hlsOutputs, type HlsOutput } from './media/growing.ts';
import { DROP_SOURCE, backgroundTasks, earlyTask, pipelineTasks } from './pipeline/index.ts';
import { endAttempts, forgetAttempts, type RemoteEncoding } from './providers/index.ts';
import { mediaPrefix } from './storage/storage.ts';
import { awaitWhole, openPrefix, type Uploads } from './uploads/index.ts';

/** Task name -> function, for the worker. */
export function createTasks(
  ctx: Context,
  uploads: Pick<Uploads, 'discard'>,
  remote?: RemoteEncoding,
): Record<string, Task> {
  return {
    ...pipelineTasks(ctx),
    ...remote?.tasks,
    discard: discard(ctx, uploads),
    purge: purge(ctx, uploads),
    tidy: tidy(ctx),
    [DROP_SOURCE]: dropSource(ctx),
    retire: retire(ctx),
  };
}

/** Tasks of a worker of their own: an upload is followed for as long as it lives, and nothing else is to wait for that. */
export function createEarlyTasks(ctx: Context): Record<string, Task> {
  const { idleMs } = ctx.config.encoding.early;
  const early = earlyTask(ctx, {
    read: (id, signal) => openPrefix(ctx, id, { signal, idleMs }),
    whole: (id, signal) => awaitWhole(ctx.db, id, { signal, idleMs }),
  });
  return { early };
}

/** Tasks of a worker of their own: they take hours, and no upload is to wait for a slot until they end. */
export const createBackgroundTasks = (ctx: Context): Record<string, Task> => backgroundTasks(ctx);

/** After a cancel: nothing of the media stays in storage; its row stays and says `cancelled`. */
function discard(ctx: Context, uploads: Pick<Uploads, 'discard'>): Task {
  return async ({ job }) => {
    const id = mediaOf(job);
    await empty(ctx, uploads, job);
    return async (trx) => {
      await endAttempts(trx, id);
      await trx.deleteFrom('output').where('mediaId', '=', id).execute();
      await trx.updateTable('media').set({ sourceKey: null }).where('id', '=', id).execute();
    };
  };
}

/** After a deletion: nothing of the media stays anywhere, its rows included. */
function purge(ctx: Context, uploads: Pick<Uploads, 'discard'>): Task {
  return async ({ job }) => {
    const id = mediaOf(job);
    await empty(ctx, uploads, job);
    return async (trx) => {
      await endAttempts(trx, id);
      await forgetAttempts(trx, id);
      await trx.deleteFrom('job').where('mediaId', '=', id).where('id', '!=', job.id).execute();
      await trx.deleteFrom('media').where('id', '=', id).execute(); // outputs and uploads go with it
    };
  };
}

/** After a media came to rest: removes what attempts that were killed left under its prefix, unseen by any row. */
function tidy(ctx: Context): Task {
  return async ({ job }) => {
    const id = mediaOf(job);
    // What is made when the media is ready, too: nobody else knows what a job that runs has stored.
    await waitForQuiet(ctx, job, { queued: true });
    const outputs = await ctx.db.selectFrom('output').select('prefix').where('mediaId', '=', id).execute();
    const media = await ctx.db
      .selectFrom('media')
      .select('sourceKey')
      .where('id', '=', id)
      .executeTakeFirst();
    const known = (key: string): boolean =>
      key === media?.sourceKey || outputs.some(({ prefix }) => key.startsWith(prefix));
    for await (const { key } of ctx.storage.list(mediaPrefix(id)))
      if (!known(key)) await ctx.storage.delete(key);
  };
}

/**
 * By KEEP_SOURCE, after a media became ready: its source goes, its outputs stay, but for one whose parts will never be whole
 * without it. Not when the setting was changed to `always` meanwhile, and not before every job that may want it has ended.
 */
function dropSource(ctx: Context): Task {
  return async ({ job }) => {
    const id = mediaOf(job);
    const media = await ctx.db.selectFrom('media').selectAll().where('id', '=', id).executeTakeFirst();
    const kept = ctx.config.encoding.keepSourceMs === Infinity;
    if (!media?.sourceKey || media.deletedAt !== null || media.status !== 'ready' || kept) return undefined;
    await waitForQuiet(ctx, job, { queued: true });
    await ctx.storage.delete(media.sourceKey);
    const outputs = await hlsOutputs(ctx.db, id, { opening: true });
    const removed = await removeFiles(
      ctx,
      outputs.filter(({ details }) => details.state === 'opening'),
    );
    return async (trx) => {
      await removed(trx);
      const now = Date.now();
      await trx
        .updateTable('media')
        .set({ sourceKey: null, sourceDeletedAt: now, updatedAt: now })
        .where('id', '=', id)
        .execute();
      const about = { owner: media.owner, mediaId: id };
      emit(trx, {
        type: 'media.updated',
        ...about,
        payload: { sourceDeletedAt: new Date(now).toISOString() },
      });
    };
  };
}

/** After a day: removes renditions that others have taken the place of. Nobody can be playing them any more. */
function retire(ctx: Context): Task {
  return async ({ job }) => {
    const outputs = await hlsOutputs(ctx.db, mediaOf(job));
    return removeFiles(
      ctx,
      outputs.filter(({ details }) => details.supersededAt !== undefined),
    );
  };
}

/** Removes what outputs have stored; resolves with the commit that removes their rows. */
async function removeFiles(ctx: Context, outputs: readonly HlsOutput[]): Promise<Commit> {
  for (const { prefix } of outputs) await ctx.storage.deletePrefix(prefix);
  return async (trx) => {
    for (const { id } of outputs) await trx.deleteFrom('output').where('id', '=', id).execute();
  };
}

async function empty(ctx: Context, uploads: Pick<Uploads, 'discard'>, job: ClaimedJob): Promise<void> {
  await waitForQuiet(ctx, job);
  await uploads.discard(mediaOf(job));
  await ctx.storage.deletePrefix(mediaPrefix(mediaOf(job)));
}

/** They only delete, and would wait for each other. */
const CLEANERS = ['retire', 'tidy', DROP_SOURCE];
const SOONEST_MS = 2_000;
const LATEST_MS = 300_000;

/**
 * Jobs of the media that are still being stopped would write behind our back: come again later. With `queued` also those
 * that have yet to run. It may take hours: the longer it has waited, the more seldom it looks.
 */
async function waitForQuiet(
  ctx: Context,
  job: ClaimedJob,
  { queued = false }: { queued?: boolean } = {},
): Promise<void> {
  const others = await ctx.db
    .selectFrom('job')
    .select(['id', 'task', 'createdAt'])
    .where('mediaId', '=', mediaOf(job))
    .where('status', 'in', queued ? ['queued', 'running'] : ['running'])
    .execute();
  const other = others.find(({ id, task }) => id !== job.id && !CLEANERS.includes(task));
  if (!other) return;
  const waited = Date.now() - (others.find(({ id }) => id === job.id)?.createdAt ?? Date.now());
  throw new JobPostponed({
    code: 'media_busy',
    message: `Its ${other.task} job has not ended yet.`,
    delayMs: Math.min(LATEST_MS, Math.max(SOONEST_MS, waited / 10)),
  });
}

function mediaOf(job: ClaimedJob): string {
  if (!job.mediaId)
    throw new JobError({ code: 'no_media', message: 'The job names no media.', permanent: true });
  return job.mediaId;
}
