/** Long sources whose lowest rung comes first: parts of the ladder are made beside it where cores are left, and joined after it. */
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hlsOutputs } from '../../server/media/growing.ts';
import { makeMedia } from '../media.ts';
import { slowFfmpeg, type SlowFfmpeg } from '../slow-ffmpeg.ts';
import { openBench, type Bench } from './harness.ts';
import { checkHls } from './hls-rules.ts';

let bench: Bench;
/** So that its pieces don't come all at once. */
let slow: SlowFfmpeg;
let file: string;
beforeAll(async () => {
  // 31 s are cut for the ladder, and not for `first`, of which viewers see each segment.
  const parts = { CHUNK_SECONDS: '18', WORKER_CONCURRENCY: '2' };
  slow = await slowFfmpeg(8);
  bench = await openBench({ ...parts, ...slow.env, LADDER: '540,240', STORYBOARD: 'off' });
  // Few pixels to make and to read, many by the measure of needsFirst: 60 frames per second.
  file = await makeMedia('a.mp4', [
    ...['-f', 'lavfi', '-i', 'color=green:size=960x540:rate=60:duration=31'],
    ...['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000:duration=31'],
    ...['-c:v', 'mpeg4', '-c:a', 'aac'],
  ]);
});
afterAll(async () => {
  await bench?.close();
  await slow?.dispose();
  if (file) await rm(dirname(file), { recursive: true });
});

/** Stops the lowest rung once viewers have some of it, until it is told to go on. */
function holdFirst(): { go: () => void; held: Promise<void> } {
  const { storage } = bench;
  const { put, putFile } = storage;
  let go = (): void => undefined;
  let reached = (): void => undefined;
  const held = new Promise<void>((resolve) => (reached = resolve));
  const gone = new Promise<void>((resolve) => (go = resolve));
  const wait = async (key: string): Promise<void> => {
    const id = /^media\/([^/]+)\/.*v240\/\d+-1\.m4s$/.exec(key)?.[1];
    if (!id || (await statesOf(id))['first'] !== 'growing') return; // what came at once is stored at once
    reached();
    await gone;
  };
  storage.put = (key, body) => wait(key).then(() => put.call(storage, key, body));
  storage.putFile = (key, path) => wait(key).then(() => putFile.call(storage, key, path));
  return { held, go: () => (Object.assign(storage, { put, putFile }), go()) };
}

async function tasksOf(id: string): Promise<string[]> {
  return (await bench.jobs(id)).map(({ task }) => task);
}

async function statesOf(id: string): Promise<Record<string, string>> {
  const outputs = await hlsOutputs(bench.ctx.db, id, { opening: true });
  return Object.fromEntries(outputs.map(({ kind, details }) => [kind, details.state]));
}

/** Encodes what is left; the rungs are those of both outputs. */
async function expectWholeStream(id: string): Promise<void> {
  await bench.drain();
  expect((await bench.media(id)).status).toBe('ready');
  const { root, details } = await bench.stream(id);
  expect(details.variants.map(({ name }) => name)).toEqual(['v540', 'v240']);
  expect((await checkHls(root)).broken).toEqual([]);
}

it('a ladder is begun while the lowest rung grows, and is whole after it', async () => {
  bench.ctx.config.encoding.processors = 4;
  const id = await bench.upload(file);
  await bench.drain('probe');
  expect(await tasksOf(id)).not.toContain('ladder');
  const first = holdFirst();
  const ended = bench.drain('first');
  await first.held;
  await bench.drain('ladder', 'chunk');
  expect(await statesOf(id)).toEqual({ first: 'growing', ladder: 'opening' });
  expect((await bench.media(id)).status).toBe('playable');
  expect((await tasksOf(id)).filter((task) => task === 'chunk').length).toBeGreaterThan(1);
  expect(await tasksOf(id)).not.toContain('join');

  first.go();
  await ended;
  expect(await statesOf(id)).toEqual({ first: 'complete', ladder: 'opening' });
  await expectWholeStream(id);
});

it('where the lowest rung has all cores, the ladder waits for its end, and is made in one piece', async () => {
  bench.ctx.config.encoding.processors = 2;
  const id = await bench.upload(file);
  await bench.drain('probe');
  const first = holdFirst();
  const ended = bench.drain('first');
  await first.held;
  await bench.drain('ladder', 'chunk');
  expect(await statesOf(id)).toEqual({ first: 'growing' });
  expect(await tasksOf(id)).not.toContain('ladder');

  first.go();
  await ended;
  await expectWholeStream(id);
  expect(await tasksOf(id)).not.toContain('chunk');
});
