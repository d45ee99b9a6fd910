/** Long sources that are encoded in parts: what comes out is what one encode makes. */
import { execa } from 'execa';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hlsOutputs } from '../../server/media/growing.ts';
import { createFfmpeg } from '../../server/pipeline/ffmpeg/ffmpeg.ts';
import { keyFramesBefore } from '../../server/pipeline/source/key-frames.ts';
import { decodeErrors, makeMedia } from '../media.ts';
import { openBench, type Bench } from './harness.ts';
import { checkHls } from './hls-rules.ts';

const SECONDS = 33;
/** MPEG-4 pictures can't be copied; 29.97 frames a second fall on no whole second. */
const SOURCE = [
  ...['-f', 'lavfi', '-i', `testsrc2=size=320x180:rate=30000/1001:duration=${SECONDS}`],
  ...['-f', 'lavfi', '-i', `sine=frequency=440:sample_rate=48000:duration=${SECONDS}`],
  ...['-c:v', 'mpeg4', '-bf', '2', '-g', '100', '-c:a', 'aac'],
];

let file: string;
let bench: Bench;
beforeAll(async () => {
  file = await makeMedia('long.mp4', SOURCE);
});
afterAll(() => rm(dirname(file), { recursive: true }));
afterEach(() => bench.close());

const open = async (chunkSeconds: number, more: Record<string, string> = {}): Promise<void> => {
  const parts = { CHUNK_SECONDS: String(chunkSeconds), WORKER_CONCURRENCY: '2' };
  bench = await openBench({ ...parts, LADDER: '180,100', ...more });
};

/** Time stamp and kind of every packet of a rendition, in their order of presentation. */
async function packets(root: string, name: string): Promise<string[]> {
  const { stdout } = await execa('ffprobe', [
    ...['-v', 'error', '-show_entries', 'packet=pts,flags', '-of', 'csv=p=0'],
    join(root, name, 'index.m3u8'),
  ]);
  return stdout.split('\n').sort((a, b) => parseInt(a) - parseInt(b));
}

/** Runs a media to its end; its packets by rendition, once the stream was held against the rules. */
async function encoded(): Promise<{ id: string; packets: Record<string, string[]> }> {
  const id = await bench.upload(file);
  await bench.drain();
  expect(await bench.media(id)).toMatchObject({ status: 'ready' });
  const { root } = await bench.stream(id);
  await checkHls(root);
  const [output] = await hlsOutputs(bench.ctx.db, id);
  const folder = bench.storage.pathOf(output!.prefix);
  const names = [...output!.details.variants, ...output!.details.audio].map(({ name }) => name);
  const all: Record<string, string[]> = {};
  for (const name of names) all[name] = await packets(folder, name);
  expect(await decodeErrors(...names.map((name) => join(folder, name, 'index.m3u8')))).toBe('');
  return { id, packets: all };
}

const tasksOf = async (id: string): Promise<string[]> => (await bench.jobs(id)).map(({ task }) => task);

it('have the frames, key frames and time stamps of one encode', async () => {
  await open(0);
  const whole = await encoded();
  expect(await tasksOf(whole.id)).not.toContain('chunk');
  await bench.close();
  await open(12, { PLAY_SOON: 'false' });
  const parts = await encoded();
  const tasks = await tasksOf(parts.id);
  expect(tasks.filter((task) => task === 'chunk')).toHaveLength(5); // from 2, 12, 18 and 24 s (30 s come long after a key frame), and the sound
  expect(tasks.filter((task) => task === 'join')).toHaveLength(1);
  expect(Object.keys(parts.packets)).toEqual(Object.keys(whole.packets));
  for (const [name, list] of Object.entries(whole.packets)) expect(parts.packets[name]).toEqual(list);
});

it('know the key frames that decoders would begin with', async () => {
  await open(12);
  const ffmpeg = createFfmpeg(bench.ctx.config.encoding);
  const options = { source: file, stream: 0, signal: new AbortController().signal };
  const times = [2, 11.7, 12, 17.7, 29.7, 40];
  const { stdout } = await execa('ffprobe', [
    ...[
      '-v',
      'error',
      '-select_streams',
      '0',
      '-show_entries',
      'packet=pts_time,flags',
      '-of',
      'csv=p=0',
      file,
    ],
  ]);
  const all = [...stdout.matchAll(/^([\d.]+),K/gm)].map(([, time]) => Number(time));
  const before = times.map((time) => all.findLast((keyFrame) => keyFrame <= time));
  expect(await keyFramesBefore(ffmpeg, times, options)).toEqual([...new Set(before)]);
}, 60_000);

it('are encoded in one piece when the parts do not fit together', async () => {
  await open(12);
  const id = await bench.upload(file);
  // The parts of another encoder's stream: their initialization segments differ.
  await bench.runTo('ladder');
  const [output] = await hlsOutputs(bench.ctx.db, id, { opening: true });
  await bench.storage.put(`${output!.prefix}v180/init.mp4`, 'something else');
  await bench.drain();
  expect(await bench.media(id)).toMatchObject({ status: 'ready' });
  const jobs = await bench.jobs(id);
  expect(jobs.filter(({ task }) => task === 'ladder').map(({ status }) => status)).toEqual([
    'succeeded',
    'succeeded',
  ]);
  await checkHls((await bench.stream(id)).root);
});

it('play from the first part on, in order, up to the first that is missing', async () => {
  await open(12);
  const id = await bench.upload(file);
  await bench.runTo('ladder');
  expect(await hlsOutputs(bench.ctx.db, id)).toEqual([]); // no sound yet
  expect((await bench.media(id)).status).toBe('processing');
  await bench.runTo('chunk'); // the sound
  const [output] = await hlsOutputs(bench.ctx.db, id);
  expect(output?.details.state).toBe('growing');
  expect((await bench.media(id)).status).toBe('playable');
});
