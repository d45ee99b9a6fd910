/** The source's own picture, cut and not encoded: what is taken over plays, and what would not is refused. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { decodeErrors, makeMedia } from '../media.ts';
import { openBench, type Bench } from './harness.ts';
import { checkHls } from './hls-rules.ts';

const clip = (seconds: number, size = '178x100', rate: number | string = 25): string[] => [
  ...['-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=${rate}:duration=${seconds}`],
  ...['-f', 'lavfi', '-i', `sine=frequency=440:sample_rate=48000:duration=${seconds}`],
];
/** With B-frames that others refer to: decode times differ from those of showing. */
const H264 = ['-c:v', 'libx264', '-preset', 'veryfast', '-bf', '3', '-pix_fmt', 'yuv420p'];
const STEREO = ['-c:a', 'aac', '-ac', '2'];
const every = (frames: number, rest = ''): string[] => ['-x264-params', `keyint=${frames}:scenecut=0${rest}`];

let bench: Bench;
beforeAll(async () => {
  bench = await openBench({ LADDER: '100', KEEP_COPY: 'off', STORYBOARD: 'off', WAVEFORM: 'off' });
});
afterAll(() => bench.close());

/** Runs what comes before the ladder. Answers whether the picture was taken over. */
async function copied(file: string): Promise<{ id: string; taken: boolean }> {
  const id = await bench.upload(file);
  await bench.drain('probe', 'copy');
  const jobs = (await bench.jobs(id)).map(({ task, status }) => `${task} ${status}`);
  expect(jobs).toContain('probe succeeded');
  expect(jobs).toContain('copy succeeded');
  return { id, taken: (await bench.outputs(id)).some(({ kind }) => kind === 'copy') };
}

async function expectReady(id: string): Promise<void> {
  await bench.drain();
  const { status, errorMessage } = await bench.media(id);
  expect([status, errorMessage]).toEqual(['ready', null]);
  const { root } = await bench.stream(id);
  const { broken, video } = await checkHls(root);
  expect(broken).toEqual([]);
  expect(video.map(({ name }) => name)).toEqual([expect.stringMatching(/\/v100$/)]);
}

const TAKEN: [name: string, file: string, args: string[], segments: number][] = [
  ['MP4, key frames every second', 'a.mp4', [...clip(13), ...H264, ...every(25), ...STEREO], 3],
  ['MP4 of one group of pictures', 'a.mp4', [...clip(12), ...H264, '-g', '1000', ...STEREO], 1],
  ['key frames every 2.2 s, mono', 'a.mp4', [...clip(9), ...H264, ...every(55), '-c:a', 'aac'], 2],
  ['MPEG-TS', 'a.ts', [...clip(8), ...H264, ...every(50), ...STEREO], 2],
  ['Matroska at 29.97', 'a.mkv', [...clip(8, '178x100', '30000/1001'), ...H264, ...every(60), ...STEREO], 2],
  [
    'Matroska at 60, which counts in milliseconds',
    'a.mkv',
    [...clip(8, '178x100', 60), ...H264, ...every(480), ...STEREO],
    1,
  ],
  [
    'Matroska that is sent live, without a duration',
    'a.mkv',
    [...clip(7), ...H264, ...every(25), '-live', '1'],
    2,
  ],
  [
    'Matroska whose clock begins at 5 s',
    'a.mkv',
    [...clip(7), ...H264, ...every(25), '-output_ts_offset', '5'],
    2,
  ],
  ['key frames alone', 'a.mov', [...clip(7), ...H264, ...every(1), ...STEREO], 2],
  ['baseline, no sound', 'a.mp4', [...clip(7), '-an', ...H264, '-profile:v', 'baseline', ...every(30)], 2],
];

describe.each(TAKEN)('%s', (_, name, args, segments) => {
  it('is taken over until the ladder is there', async () => {
    const file = await makeMedia(name, args);
    const { id, taken } = await copied(file);
    expect(taken).toBe(true);
    expect((await bench.media(id)).status).toBe('playable');
    const { root, details } = await bench.stream(id);
    const { broken, video, audio } = await checkHls(root, () => 'copied');
    expect(broken).toEqual([]);
    expect(video[0]?.playlist.segments).toHaveLength(segments);
    const playlists = [...video, ...audio].map((track) => join(root, track.name, 'index.m3u8'));
    expect(await decodeErrors(...playlists)).toBe('');
    const source = JSON.parse((await bench.media(id)).source!) as { duration: number };
    expect(Math.abs(details.duration - source.duration)).toBeLessThan(0.1);
    await expectReady(id);
    await rm(dirname(file), { recursive: true });
  });
});

const REFUSED: [name: string, file: string, args: string[]][] = [
  ['open groups of pictures', 'a.mp4', [...clip(14), ...H264, ...every(40, ':open-gop=1')]],
  ['key frames 40 s apart', 'a.mp4', [...clip(44, '178x100', 5), ...H264, ...every(200)]],
  ['periodic intra refresh', 'a.ts', [...clip(14), ...H264, ...every(40, ':intra-refresh=1')]],
];

describe.each(REFUSED)('%s', (_, name, args) => {
  it('is refused, and encoded', async () => {
    const file = await makeMedia(name, args);
    const { id, taken } = await copied(file);
    expect(taken).toBe(false);
    expect((await bench.media(id)).status).toBe('processing');
    await expectReady(id);
    await rm(dirname(file), { recursive: true });
  });
});

describe('a picture that is filled with zeros in the middle', () => {
  it('is refused, and encoded', async () => {
    const file = await makeMedia('a.mp4', [...clip(8), ...H264, ...every(25), ...STEREO]);
    const bytes = await readFile(file);
    const middle = bytes.indexOf('mdat') + Math.floor(bytes.readUInt32BE(bytes.indexOf('mdat') - 4) / 2);
    await writeFile(file, bytes.fill(0, middle, middle + 20_000));
    const { id, taken } = await copied(file);
    expect(taken).toBe(false);
    await expectReady(id);
    await rm(dirname(file), { recursive: true });
  });
});

describe('a picture that changes its size on the way', () => {
  it('is refused, and encoded', async () => {
    const files = await Promise.all(
      ['178x100', '356x200'].map((size, n) => {
        const later = ['-muxdelay', '0', '-output_ts_offset', String(n * 7)];
        return makeMedia('a.ts', [...clip(7, size), ...H264, ...every(25), ...STEREO, ...later]);
      }),
    );
    const whole = join(dirname(files[0]!), 'whole.ts');
    await writeFile(whole, Buffer.concat(await Promise.all(files.map((file) => readFile(file)))));
    const { id, taken } = await copied(whole);
    expect(taken).toBe(false);
    await expectReady(id);
    await Promise.all(files.map((file) => rm(dirname(file), { recursive: true })));
  });
});
