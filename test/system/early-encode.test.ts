/** Uploads whose picture has to be encoded, encoded while they arrive. */
import { readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeNoisyClip } from '../media.ts';
import { eventually, startServer, type TestServer } from '../server.ts';
import { slowFfmpeg } from '../slow-ffmpeg.ts';
import { getMedia, settled } from './flow.ts';
import { begin, expectWhole, jobsOf, playable, renditions, segmentsAt } from './sending.ts';

const ENV = {
  ...{ EARLY_MIN_SIZE: '2MB', LADDER: '180,144', X264_PRESET: 'ultrafast', STORYBOARD: 'false' },
  DISK_FLOOR: '0',
};
const SECONDS = 12;
const FRAMES = SECONDS * 25;

let server: TestServer;
beforeAll(async () => {
  server = await startServer(ENV);
});
afterAll(() => server.dispose());

const clips = new Map<string, Buffer>();

/** A clip that noise makes large, as most of an encoded file is needed to tell what it is. */
async function clip(
  name: string,
  options: string[],
  { size = '320x180', seconds = SECONDS } = {},
): Promise<Buffer> {
  const made = clips.get(name);
  if (made) return made;
  const path = await makeNoisyClip(name, seconds, ['-b:v', '6M', ...options], size);
  const bytes = await readFile(path);
  await rm(dirname(path), { recursive: true });
  clips.set(name, bytes);
  return bytes;
}

const X265 = ['-c:v', 'libx265', '-preset', 'ultrafast', '-x265-params', 'log-level=none'];
const HEVC = [...X265, '-tag:v', 'hvc1', '-c:a', 'aac', '-movflags', '+faststart'];

const MPEG4 = ['-c:v', 'mpeg4', '-c:a', 'aac'];
const VP9 = ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-g', '50'];
const PRORES = ['-c:v', 'prores_ks', '-profile:v', 'lt', '-pix_fmt', 'yuv422p10le'];

it.each([
  ['hevc.mp4', HEVC, FRAMES],
  // Its sound begins first: the first picture is held from then on.
  ['mpeg4.mkv', MPEG4, FRAMES + 1],
  ['mpeg2.ts', ['-c:v', 'mpeg2video', '-c:a', 'mp2'], FRAMES],
  ['vp9.webm', [...VP9, '-c:a', 'libopus'], FRAMES],
  ['prores.mov', [...PRORES, '-c:a', 'pcm_s16le', '-movflags', '+faststart'], FRAMES],
])('encodes the lowest rung of %s while it arrives', async (name, options, frames) => {
  const sending = await begin([server], await clip(name, options), { watchWhileUploading: 'true' });
  await sending.to(0.85);
  const early = await eventually(async () => {
    const found = await renditions(server, sending.id);
    return found && (await segmentsAt(found[0]!)).count > 0 && found;
  });
  expect(early).toHaveLength(2);
  expect((await getMedia(server, sending.id)).status).toBe('uploading');
  expect(await sending.to(1)).toBe(204);
  await playable(server, sending.id);
  await eventually(async () => (await segmentsAt(early[0]!)).ended);
  await expectWhole(early, frames);
  expect(early[0]).toContain('/v144/');
  expect((await settled(server, sending.id)).status).toBe('ready');
  const jobs = await jobsOf(server, sending.id);
  expect(jobs).toMatchObject({ early: 'succeeded', ladder: 'succeeded' });
  for (const other of ['probe', 'copy', 'first']) expect(jobs).not.toHaveProperty(other);
  const whole = (await renditions(server, sending.id))!;
  expect(whole[0]).toContain('/v180/');
  expect(whole[1]).toBe(early[1]);
  await expectWhole(whole);
});

it('keeps a copy as the top rung, and encodes the others', async () => {
  const seconds = 28; // large enough, with the bits of a rung
  const x264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-g', '50', '-b:v', '600k', '-maxrate', '700k'];
  const options = [...x264, '-bufsize', '700k', '-c:a', 'aac', '-ac', '2', '-movflags', '+faststart'];
  const sending = await begin([server], await clip('rung.mp4', options, { seconds }));
  await sending.to(0.85);
  await eventually(async () => (await jobsOf(server, sending.id)).early === 'running');
  await sending.to(1);
  const copy = await playable(server, sending.id);
  expect(copy[0]).toContain('/v180/');
  expect((await settled(server, sending.id)).status).toBe('ready');
  const jobs = await jobsOf(server, sending.id);
  expect(jobs).toMatchObject({ early: 'succeeded', ladder: 'succeeded' });
  for (const other of ['probe', 'copy', 'first']) expect(jobs).not.toHaveProperty(other);
  expect(await renditions(server, sending.id)).toEqual(copy);
  const playlist = await fetch(`${server.url}/media/${sending.id}/hls/index.m3u8`);
  expect((await playlist.text()).match(/\/v\d+\/index/g)).toEqual(['/v180/index', '/v144/index']);
  await expectWhole(copy, seconds * 25);
});

it('encodes a picture that can not be cut at its key frames after all', async () => {
  const seconds = 30;
  const x264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-x264-params', 'open-gop=1:keyint=50:bframes=3'];
  const options = [...x264, '-b:v', '3M', '-c:a', 'aac', '-movflags', '+faststart'];
  const sending = await begin([server], await clip('open.mp4', options, { seconds }));
  await sending.to(0.9);
  await eventually(() => Promise.resolve(server.output().includes('is not taken over as it is')));
  await sending.to(1);
  expect((await settled(server, sending.id)).status).toBe('ready');
  const jobs = await jobsOf(server, sending.id);
  expect(jobs).toMatchObject({ early: 'succeeded', ladder: 'succeeded' });
  for (const other of ['probe', 'copy', 'first']) expect(jobs).not.toHaveProperty(other);
  await expectWhole((await renditions(server, sending.id))!, seconds * 25);
});

it('makes the whole ladder of a picture that has one rung', async () => {
  const bytes = await clip('small.ts', ['-c:v', 'mpeg2video', '-c:a', 'mp2'], { size: '256x144' });
  const sending = await begin([server], bytes);
  await sending.to(0.7);
  await eventually(async () => (await jobsOf(server, sending.id)).early === 'running');
  await sending.to(1);
  const media = await settled(server, sending.id);
  expect(media).toMatchObject({ status: 'ready' });
  const jobs = await jobsOf(server, sending.id);
  expect(jobs).toMatchObject({ early: 'succeeded' });
  for (const other of ['probe', 'first', 'ladder']) expect(jobs).not.toHaveProperty(other);
  await expectWhole((await renditions(server, sending.id))!, FRAMES);
});

it('lets viewers begin with the last byte when encoding takes longer', async () => {
  const slow = await slowFfmpeg(1.5);
  const other = await startServer({ ...ENV, ...slow.env });
  try {
    const bytes = await clip('hevc.mp4', HEVC);
    const sending = await begin([other], bytes);
    await sending.to(0.9);
    await eventually(async () => (await jobsOf(other, sending.id)).early === 'running');
    expect(await renditions(other, sending.id)).toBeUndefined();
    await sending.to(1);
    const growing = await playable(other, sending.id);
    const { ended } = await segmentsAt(growing[0]!);
    if (!ended) expect(await jobsOf(other, sending.id)).toMatchObject({ early: 'running' });
    await eventually(async () => (await segmentsAt(growing[0]!)).ended);
    await expectWhole(growing, FRAMES);
  } finally {
    await other.dispose();
    await slow.dispose();
  }
});

it('leaves a long film of which little is encoded to all workers', async () => {
  const slow = await slowFfmpeg(0.3);
  const other = await startServer({ ...ENV, ...slow.env, CHUNK_SECONDS: '12' });
  try {
    const sending = await begin([other], await clip('long.mkv', MPEG4, { seconds: 30 }));
    await sending.to(0.5);
    await eventually(async () => (await jobsOf(other, sending.id)).early === 'running');
    await sending.to(1);
    await eventually(async () => {
      const { early, chunk, probe } = await jobsOf(other, sending.id);
      return early === 'succeeded' && chunk !== undefined && probe === undefined;
    });
    expect((await getMedia(other, sending.id)).status).not.toBe('failed');
  } finally {
    await other.dispose();
    await slow.dispose();
  }
});
