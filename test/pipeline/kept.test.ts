/** The source's own picture as the top rung, for good: only the rungs below it are encoded. */
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { HlsDetails } from '../../server/hls/model.ts';
import { decodeErrors, makeMedia } from '../media.ts';
import { openBench, type Bench } from './harness.ts';
import { checkHls } from './hls-rules.ts';

let bench: Bench;
beforeAll(async () => {
  bench = await openBench({ LADDER: '180,100', WAVEFORM: 'off' });
});
afterAll(() => bench?.close());

interface Clip {
  seconds?: number;
  size?: string;
  /** Frames between two key frames. */
  every?: number;
  /** Bits per second of the picture. */
  rate?: string;
  more?: string[];
  sound?: string[];
}

const clip = ({ seconds = 14, size = '320x180', every = 50, rate = '400k', more = [], sound = [] }: Clip) => [
  ...['-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=25:duration=${seconds}`],
  ...['-f', 'lavfi', '-i', `sine=frequency=440:sample_rate=48000:duration=${seconds}`],
  ...['-c:v', 'libx264', '-preset', 'veryfast', '-pix_fmt', 'yuv420p', '-g', String(every)],
  ...['-b:v', rate, '-maxrate', rate, '-bufsize', rate, ...more, '-c:a', 'aac', '-ac', '2', ...sound],
];

/** Everything that is made of a source. */
async function process(args: string[]): Promise<string> {
  const file = await makeMedia('a.mp4', args);
  const id = await bench.upload(file);
  await bench.drain();
  const { status, errorMessage } = await bench.media(id);
  expect([status, errorMessage]).toEqual(['ready', null]);
  await rm(dirname(file), { recursive: true });
  return id;
}

const detailsOf = async (id: string, kind: string): Promise<HlsDetails | undefined> => {
  const output = (await bench.outputs(id)).find((o) => o.kind === kind);
  return output && (JSON.parse(output.details) as HlsDetails);
};

/** What viewers get obeys the rules, and every segment of every rendition decodes. */
async function expectPlays(id: string): Promise<void> {
  const { root, originOf } = await bench.stream(id);
  const { broken, video, audio } = await checkHls(root, originOf);
  expect(broken).toEqual([]);
  const playlists = [...video, ...audio].map(({ name }) => join(root, name, 'index.m3u8'));
  expect(await decodeErrors(...playlists)).toBe('');
}

it('is the top rung, and the ladder adds those below', async () => {
  const id = await process(clip({ every: 55 }));
  expect(await detailsOf(id, 'copy')).toMatchObject({ kept: true, variants: [{ name: 'v180' }] });
  expect(await detailsOf(id, 'ladder')).toMatchObject({ variants: [{ name: 'v100' }], audio: [] });
  expect((await detailsOf(id, 'copy'))?.supersededAt).toBeUndefined();
  const { details } = await bench.stream(id);
  expect(details.variants.map(({ name }) => name)).toEqual(['v180', 'v100']);
  await expectPlays(id);
  expect((await bench.jobs(id)).map(({ task }) => task)).not.toContain('retire');
});

it('is all there is where no rung lies below, and everything else is made of it', async () => {
  const id = await process(clip({ size: '178x100', rate: '150k', seconds: 6 }));
  const jobs = (await bench.jobs(id)).map(({ task }) => task);
  expect(jobs).not.toContain('ladder');
  expect(jobs).toContain('storyboard');
  await expectPlays(id);
});

const REFUSED: [name: string, clip: Clip][] = [
  ['key frames 7 s apart', { every: 175 }],
  ['far more bits than a rung has', { rate: '3M', more: ['-x264-params', 'nal-hrd=cbr'] }],
  ['another size than a rung has', { size: '480x270', rate: '600k' }],
  [
    'a peak of more than twice the average',
    { rate: '900k', more: ['-vf', "drawbox=enable='gt(t,4)':t=fill"] },
  ],
];

it.each(REFUSED)('serves for a while only with %s', async (_, what) => {
  const id = await process(clip(what));
  expect(await detailsOf(id, 'copy')).toMatchObject({
    kept: false,
    supersededAt: expect.any(Number) as number,
  });
  const { root, details } = await bench.stream(id);
  expect(details.variants.map(({ name }) => name)).toEqual(['v180', 'v100']);
  expect((await checkHls(root)).broken).toEqual([]);
});

it('encodes a sound that is too fat for slow connections', async () => {
  const id = await process(clip({ sound: ['-b:a', '320k', '-af', 'volume=2,aeval=random(0)|random(1)'] }));
  expect(await detailsOf(id, 'copy')).toMatchObject({ kept: true });
  await expectPlays(id);
});
