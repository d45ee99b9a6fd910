/** Local folders of attempts: `{scratchDir}/{jobId}-{attempt}`. */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Context } from '../context.ts';
import type { ClaimedJob } from '../jobs/job.ts';
import { RESERVATION } from './admission.ts';

const NAME = /^([0-9a-f-]{36})-(\d+)(\.reservation)?$/;

/** Runs `work` with an empty folder, which is gone afterwards, as are those of the job's earlier attempts. */
export async function withScratch<T>(
  scratchDir: string,
  job: Pick<ClaimedJob, 'id' | 'attempts'>,
  work: (folder: string, name: string) => Promise<T>,
): Promise<T> {
  await removeFolders(scratchDir, (id) => id === job.id);
  const name = `${job.id}-${job.attempts}`;
  const folder = join(scratchDir, name);
  await mkdir(folder, { recursive: true });
  try {
    return await work(folder, name);
  } finally {
    await rm(folder, { recursive: true, force: true });
    await rm(folder + RESERVATION, { force: true });
  }
}

/**
 * Removes what killed processes left; for the boot. Several processes may share the folder: one that a living
 * lease stands for is left alone.
 */
export async function cleanScratch(ctx: Pick<Context, 'config' | 'db'>): Promise<void> {
  const running = await ctx.db
    .selectFrom('job')
    .select(['id', 'attempts'])
    .where('status', '=', 'running')
    .where('leaseUntil', '>', Date.now())
    .execute();
  const alive = new Set(running.map(({ id, attempts }) => `${id}-${attempts}`));
  await removeFolders(ctx.config.encoding.scratchDir, (id, attempt) => !alive.has(`${id}-${attempt}`));
}

/** Only folders with names of ours: the directory may be a shared one such as /tmp. */
async function removeFolders(dir: string, which: (id: string, attempt: string) => boolean): Promise<void> {
  const names = await readdir(dir).catch(absent);
  for (const name of names ?? []) {
    const [, id = '', attempt = ''] = NAME.exec(name) ?? [];
    if (id && which(id, attempt)) await rm(join(dir, name), { recursive: true, force: true });
  }
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
