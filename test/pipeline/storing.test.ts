/** Outputs are there whole or not at all, whatever happens while they are stored. */
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { transact } from '../../db/transaction.ts';
import { cancelMedia } from '../../server/media/lifecycle.ts';
import { checkFfmpeg } from '../../server/pipeline/index.ts';
import { mediaPrefix } from '../../server/storage/storage.ts';
import { makeMedia } from '../media.ts';
import { openBench, type Bench } from './harness.ts';

let bench: Bench;
let clip: string;
beforeAll(async () => {
  bench = await openBench({ LADDER: '144' });
  clip = await makeMedia('a.mkv', [
    ...['-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=25:duration=1'],
    ...['-f', 'lavfi', '-i', 'sine=frequency=440:duration=1', '-c:v', 'mpeg4', '-c:a', 'aac'],
  ]);
});
afterAll(async () => {
  await bench.close();
  await rm(join(clip, '..'), { recursive: true });
});

/** Lets the first `good` files pass, then does `then` in place of storing. Returns the way back. */
function interrupt(good: number, then: () => Promise<void>): () => void {
  const { storage } = bench;
  const putFile = storage.putFile.bind(storage);
  const put = storage.put.bind(storage);
  let stored = 0;
  const count = async (key: string): Promise<void> => {
    // What asks whether storage can be used at all is let through.
    const counts = !key.endsWith('/source') && !key.startsWith('tmp/');
    if (counts && ++stored > good) await then();
  };
  storage.putFile = async (key, path) => count(key).then(() => putFile(key, path));
  storage.put = async (key, body) => count(key).then(() => put(key, body));
  return () => void Object.assign(storage, { put, putFile });
}

async function keysOf(id: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of bench.storage.list(mediaPrefix(id))) keys.push(key);
  return keys;
}

it('removes what it stored when storing fails', async () => {
  const id = await bench.upload(clip);
  const restore = interrupt(4, () => Promise.reject(new Error('the disk is on fire')));
  await expect(bench.drain()).rejects.toThrow('the disk is on fire');
  restore();
  expect(await bench.outputs(id)).toEqual([]);
  expect(await keysOf(id)).toEqual([(await bench.media(id)).sourceKey]);
  expect(await readdir(bench.ctx.config.encoding.scratchDir)).toEqual([]);
});

it('shows nothing of a media that was cancelled meanwhile', async () => {
  const id = await bench.upload(clip);
  const restore = interrupt(4, async () => {
    const media = await bench.media(id);
    if (media.status === 'processing') await transact(bench.ctx.db, (trx) => cancelMedia(trx, media));
  });
  await bench.drain();
  restore();
  expect((await bench.media(id)).status).toBe('cancelled');
  expect(await bench.outputs(id)).toEqual([]);
});

it('tells percent and speed, never falling', async () => {
  const id = await bench.upload(clip);
  await bench.drain();
  const seen = bench.progress.get(`${id}:ladder:1`)!;
  expect(seen[0]).toEqual({ percent: 0, stage: 'Encoding 144p and sound' });
  expect(seen.at(-1)).toEqual({ percent: 99.9, stage: 'Storing' });
  expect(seen.some((p) => p.speed !== undefined)).toBe(true);
  const percents = seen.map((p) => p.percent);
  expect(percents).toEqual([...percents].sort((a, b) => a - b));
});

it('says what FFmpeg it runs, and how it is confined', async () => {
  expect(await checkFfmpeg(bench.ctx)).toMatch(/^ffmpeg \S+, (sandbox: bwrap|no sandbox: .+)$/);
  const { encoding } = bench.ctx.config;
  const broken = {
    ...bench.ctx,
    config: { ...bench.ctx.config, encoding: { ...encoding, ffmpegPath: '/nowhere' } },
  };
  await expect(checkFfmpeg(broken)).rejects.toThrow();
});

/** An FFmpeg that can write no more than 4 KiB of a file, while `full` is there: the kernel refuses the rest. */
async function crampedFfmpeg(): Promise<{ dir: string; path: string; full: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-cramped-'));
  const path = join(dir, 'ffmpeg');
  const full = join(dir, 'full');
  await writeFile(path, `#!/bin/bash\n[ -e ${full} ] && trap '' XFSZ && ulimit -f 4\nexec ffmpeg "$@"\n`);
  await writeFile(full, '');
  for (const each of [dir, path]) await chmod(each, 0o755);
  return { dir, path, full };
}

it('takes nothing for whole that FFmpeg could not write, though FFmpeg does not say so', async () => {
  const cramped = await crampedFfmpeg();
  const env = { FFMPEG_PATH: cramped.path, SANDBOX: 'off', LADDER: '144', STORYBOARD: 'off' };
  const small = await openBench(env);
  try {
    const id = await small.upload(clip);
    await small.drain();
    const ladder = (await small.jobs(id)).find(({ task }) => task === 'ladder');
    expect(ladder).toMatchObject({ status: 'queued', errorCode: 'no_space' });
    expect((await small.outputs(id)).filter(({ kind }) => kind === 'ladder')).toEqual([]);
    // There is room again.
    await rm(cramped.full);
    await small.ctx.db.updateTable('job').set({ runAt: 1 }).where('status', '=', 'queued').execute();
    await small.drain();
    expect(await small.media(id)).toMatchObject({ status: 'ready' });
    expect((await small.stream(id)).details.audio).toHaveLength(1);
  } finally {
    await small.close();
    await rm(cramped.dir, { recursive: true });
  }
}, 120_000);
