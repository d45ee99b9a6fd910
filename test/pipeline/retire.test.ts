/** Renditions that others have taken the place of: they play on for a day, then they go. */
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { succeed } from '../../server/jobs/attempt.ts';
import { claim } from '../../server/jobs/queue.ts';
import { createTasks } from '../../server/tasks.ts';
import { decodeErrors, makeClip } from '../media.ts';
import { openBench, type Bench } from './harness.ts';
import { checkHls } from './hls-rules.ts';

let bench: Bench;
let clip: string;
beforeAll(async () => {
  clip = await makeClip(2);
  bench = await openBench({ LADDER: '144', STORYBOARD: 'off', WAVEFORM: 'off' });
});
afterAll(async () => {
  await bench?.close();
  if (clip) await rm(dirname(clip), { recursive: true });
});

const take = () => claim(bench.ctx.db, { worker: 'w', tasks: ['retire'], leaseMs: 60_000 });

async function keysBelow(prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of bench.storage.list(prefix)) keys.push(key);
  return keys;
}

it('keeps a copy for who plays it, shows it to nobody else, and removes it a day later', async () => {
  const id = await bench.upload(clip);
  await bench.drain();
  expect((await bench.media(id)).status).toBe('ready');
  const outputs = await bench.outputs(id);
  const copy = outputs.find(({ kind }) => kind === 'copy')!;
  expect(JSON.parse(copy.details)).toMatchObject({ supersededAt: expect.any(Number) as number });
  expect(await decodeErrors(bench.storage.pathOf(`${copy.prefix}v180/index.m3u8`))).toBe('');
  const { details } = await bench.stream(id);
  expect(details.variants.map(({ name }) => name)).toEqual(['v144']);

  expect(await take()).toBeUndefined();
  const { db, logger } = bench.ctx;
  const row = (await bench.jobs(id)).find(({ task }) => task === 'retire')!;
  expect(row.runAt - Date.now()).toBeGreaterThan(23 * 3600_000);
  await db.updateTable('job').set({ runAt: 1 }).where('id', '=', row.id).execute();
  const job = (await take())!;
  const tasks = createTasks(bench.ctx, { discard: () => Promise.resolve() });
  const checkpoint = () => Promise.reject(new Error('it has nothing to commit before its end'));
  const { signal } = new AbortController();
  const commit = await tasks['retire']!({ job, signal, logger, checkpoint, progress: () => undefined });
  await succeed(db, job, commit);

  expect((await bench.outputs(id)).map(({ kind }) => kind).sort()).toEqual(
    outputs
      .map(({ kind }) => kind)
      .filter((kind) => kind !== 'copy')
      .sort(),
  );
  expect(await keysBelow(copy.prefix)).toEqual([]);
  const { broken } = await checkHls((await bench.stream(id)).root);
  expect(broken).toEqual([]);
});
