/** KEEP_SOURCE: a source goes when nothing needs it any more, and whoever asks for it is told why. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { transact } from '../../db/transaction.ts';
import { retryMedia } from '../../server/http/retry.ts';
import { succeed } from '../../server/jobs/attempt.ts';
import { JobPostponed, type ClaimedJob } from '../../server/jobs/job.ts';
import { add, claim } from '../../server/jobs/queue.ts';
import { sourceKey } from '../../server/storage/storage.ts';
import { createTasks } from '../../server/tasks.ts';
import { makeClip } from '../media.ts';
import { openBench, type Bench } from './harness.ts';

let clip: string;
let bench: Bench;
beforeAll(async () => (clip = await makeClip(1)));
afterAll(() => rm(join(clip, '..'), { recursive: true }));
afterEach(() => bench.close());

const open = async (env: Record<string, string>) => {
  bench = await openBench({ LADDER: '144', STORYBOARD: 'false', ...env });
};
const ready = async (): Promise<string> => {
  const id = await bench.upload(clip);
  await bench.drain();
  expect((await bench.media(id)).status).toBe('ready');
  return id;
};
const take = () => claim(bench.ctx.db, { worker: 'w', tasks: ['drop-source'], leaseMs: 60_000 });
const run = async (job: ClaimedJob): Promise<void> => {
  const tasks = createTasks(bench.ctx, { discard: () => Promise.resolve() });
  const { signal } = new AbortController();
  const { logger } = bench.ctx;
  const checkpoint = () => Promise.reject(new Error('it has nothing to commit before its end'));
  const commit = await tasks['drop-source']!({ job, signal, logger, checkpoint, progress: () => undefined });
  await succeed(bench.ctx.db, job, commit);
};

it('always: nothing is deleted', async () => {
  await open({});
  const id = await ready();
  expect((await bench.jobs(id)).map(({ task }) => task)).not.toContain('drop-source');
  expect(await bench.storage.stat(sourceKey(id))).toBeDefined();
});

it('until-ready: the source goes after all jobs, the outputs stay, and a retry is refused', async () => {
  await open({ KEEP_SOURCE: 'until-ready' });
  const id = await ready();
  const { db } = bench.ctx;
  const job = (await take())!;
  await transact(db, (trx) => add(trx, { key: 'late', task: 'poster', mediaId: id, mediaAttempt: 1 }));
  await expect(run(job)).rejects.toThrow(JobPostponed);
  expect(await bench.storage.stat(sourceKey(id))).toBeDefined();

  await db.updateTable('job').set({ status: 'succeeded', finishedAt: 1 }).where('id', '!=', job.id).execute();
  await run(job);
  expect(await bench.storage.stat(sourceKey(id))).toBeUndefined();
  const media = await bench.media(id);
  expect(media).toMatchObject({
    status: 'ready',
    sourceKey: null,
    sourceDeletedAt: expect.any(Number) as number,
  });
  for (const { prefix } of await bench.outputs(id))
    expect((await bench.storage.list(prefix)[Symbol.asyncIterator]().next()).done).toBe(false);
  const retry = transact(db, (trx) => retryMedia(trx, media, bench.ctx.config));
  await expect(retry).rejects.toMatchObject({ status: 409, code: 'source_gone' });
});

it('a duration: not before it is over, and not when the setting was taken back', async () => {
  await open({ KEEP_SOURCE: '30d' });
  const id = await ready();
  expect(await take()).toBeUndefined();
  const row = (await bench.jobs(id)).find(({ task }) => task === 'drop-source')!;
  expect(row.runAt - Date.now()).toBeGreaterThan(29 * 86_400_000);
  await bench.ctx.db.updateTable('job').set({ runAt: 1 }).where('id', '=', row.id).execute();
  bench.ctx.config.encoding.keepSourceMs = Infinity;
  await run((await take())!);
  expect(await bench.storage.stat(sourceKey(id))).toBeDefined();
});
