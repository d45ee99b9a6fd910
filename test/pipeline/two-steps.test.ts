/** Sources whose ladder would keep viewers waiting: the lowest rung first, then the others beside it. */
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { requeueLapsed } from '../../server/jobs/lease.ts';
import { segmentsOf } from '../../server/media/growing.ts';
import type { Source } from '../../server/media/source.ts';
import { playlistOf } from '../../server/hls/media-playlist.ts';
import type { HlsDetails } from '../../server/hls/model.ts';
import { needsFirst } from '../../server/pipeline/encode/ladder.ts';
import { decodeErrors, makeMedia } from '../media.ts';
import { slowFfmpeg, type SlowFfmpeg } from '../slow-ffmpeg.ts';
import { openBench, type Bench } from './harness.ts';
import { checkHls } from './hls-rules.ts';

const LADDER = '540,240';
let bench: Bench;
let ffmpeg: SlowFfmpeg;
let file: string;
beforeAll(async () => {
  ffmpeg = await slowFfmpeg(2);
  bench = await openBench({ ...ffmpeg.env, LADDER, STORYBOARD: 'off', WAVEFORM: 'off' });
  // Few pixels to make and to read, many by the measure of needsFirst: 60 frames per second.
  file = await makeMedia('a.mkv', [
    ...['-f', 'lavfi', '-i', 'color=green:size=960x540:rate=60:duration=9'],
    ...['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000:duration=9'],
    ...['-c:v', 'mpeg4', '-c:a', 'libopus'],
  ]);
});
afterAll(async () => {
  await bench?.close();
  await ffmpeg?.dispose();
  if (file) await rm(dirname(file), { recursive: true });
});

const detailsOf = async (id: string, kind: string): Promise<HlsDetails | undefined> => {
  const output = (await bench.outputs(id)).find((o) => o.kind === kind);
  return output && (JSON.parse(output.details) as HlsDetails);
};

/** Playlists obey the rules, and every segment of every rendition decodes. */
async function expectPlays(id: string, rungs: string[]): Promise<void> {
  const { root, details } = await bench.stream(id);
  expect(details.variants.map(({ name }) => name)).toEqual(rungs);
  const { broken, video, audio } = await checkHls(root);
  expect(broken).toEqual([]);
  expect([video.length, audio.length]).toEqual([rungs.length, 1]);
  const playlists = [...video, ...audio].map(({ name }) => join(root, name, 'index.m3u8'));
  expect(await decodeErrors(...playlists)).toBe('');
}

it('plays the lowest rung while it is made, then all of them', async () => {
  const id = await bench.upload(file);
  await bench.drain('probe');
  expect(
    needsFirst(JSON.parse((await bench.media(id)).source!) as Source, {
      ladder: LADDER.split(',').map(Number),
      playSoon: true,
    }),
  ).toBe(true);
  expect((await bench.jobs(id)).map(({ task }) => task)).not.toContain('ladder');

  let ended = false;
  const growth: number[] = [];
  const first = bench.drain('first').finally(() => (ended = true));
  while (!ended) {
    const output = (await bench.outputs(id)).find(({ kind }) => kind === 'first');
    const segments = output ? await segmentsOf(bench.ctx.db, output.id, 'v240') : [];
    if (segments.length) {
      growth.push(segments.length);
      expect((await bench.media(id)).status).toBe('playable');
      expect(playlistOf(segments, true)).not.toContain('ENDLIST');
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await first;
  expect(growth.length).toBeGreaterThan(0);
  expect(growth).toEqual([...growth].sort((a, b) => a - b));
  expect(await detailsOf(id, 'first')).toMatchObject({ state: 'complete', variants: [{ name: 'v240' }] });
  await expectPlays(id, ['v240']);

  await bench.drain();
  expect((await bench.media(id)).status).toBe('ready');
  expect(await detailsOf(id, 'ladder')).toMatchObject({ variants: [{ name: 'v540' }], audio: [] });
  expect((await detailsOf(id, 'first'))?.supersededAt).toBeUndefined();
  await expectPlays(id, ['v540', 'v240']);
  expect((await bench.jobs(id)).map(({ task }) => task)).not.toContain('retire');
});

it('goes on where an attempt stopped that was lost, and keeps what it had stored', async () => {
  const id = await bench.upload(file);
  await bench.drain('probe');
  const { storage, ctx } = bench;
  const stored = async (): Promise<string[]> => {
    const output = (await bench.outputs(id)).find(({ kind }) => kind === 'first');
    return output ? (await segmentsOf(ctx.db, output.id, 'v240')).map(({ uri }) => uri) : [];
  };
  const lost = 'the machine is gone';
  const { put, putFile } = storage;
  const unlessLost = async (key: string, then: () => Promise<void>): Promise<void> => {
    if (/v240\/.*-1\.m4s$/.test(key) && (await stored()).length) throw new Error(lost);
    return then();
  };
  storage.put = (key, body) => unlessLost(key, () => put.call(storage, key, body));
  storage.putFile = (key, path) => unlessLost(key, () => putFile.call(storage, key, path));
  await expect(bench.drain('first')).rejects.toThrow(lost);
  Object.assign(storage, { put, putFile });
  const before = await stored();
  expect(before[0]).toBe('00001-1.m4s');
  const [output] = (await bench.outputs(id)).filter(({ kind }) => kind === 'first');

  await ctx.db.updateTable('job').set({ leaseUntil: 0 }).where('status', '=', 'running').execute();
  expect(await requeueLapsed(ctx.db, () => Promise.resolve())).toBe(1);
  await ctx.db.updateTable('job').set({ runAt: 0 }).where('status', '=', 'queued').execute();
  await bench.drain('first');
  const [after] = (await bench.outputs(id)).filter(({ kind }) => kind === 'first');
  expect(after?.id).toBe(output?.id);
  const playlist = await text(await storage.read(`${after!.prefix}v240/index.m3u8`));
  const others = [2, 3, 4, 5, 6, 7].slice(before.length - 1).map((n) => `0000${n}-2.m4s`);
  expect(playlist.match(/\S+\.m4s/g)).toEqual([...before, ...others]);
  await expectPlays(id, ['v240']);
});
