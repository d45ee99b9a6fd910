/** Uploads that are worked on while they arrive. */
import { createHash } from 'node:crypto';
import { readFile, readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { makeMedia, makeNoisyClip, quickH264 } from '../media.ts';
import { eventually, startServer, type TestServer } from '../server.ts';
import { getMedia, settled } from './flow.ts';
import {
  begin,
  expectWhole,
  followedAgain,
  jobsOf,
  playable,
  renditions,
  segmentsAt,
  terminate,
} from './sending.ts';

const ENV = {
  ...{ EARLY_MIN_SIZE: '2MB', LADDER: '144', X264_PRESET: 'ultrafast', STORYBOARD: 'false', DISK_FLOOR: '0' },
  JOB_LEASE: '3s',
};
const SECONDS = 12;
const FRAMES = SECONDS * 25;

let server: TestServer;
let folders: string[];
const files: Record<string, Buffer> = {};
beforeAll(async () => {
  server = await startServer(ENV);
  const source = await makeNoisyClip('source.mp4', SECONDS, quickH264('6M'));
  folders = [dirname(source)];
  const copy = async (name: string, options: string[] = []): Promise<void> => {
    const path = await makeMedia(name, ['-i', source, '-c', 'copy', ...options]);
    folders.push(dirname(path));
    files[name] = await readFile(path);
  };
  files['moov-last.mp4'] = await readFile(source);
  await copy('faststart.mp4', ['-movflags', '+faststart']);
  await copy('fragmented.mp4', ['-movflags', '+frag_keyframe+empty_moov+default_base_moof']);
  await copy('a.mkv');
  await copy('a.ts');
});
afterAll(async () => {
  await server.dispose();
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

/** Keys in storage that have to do with a media. */
async function stored(id: string): Promise<string[]> {
  const entries = await readdir(server.dataDir, { recursive: true, withFileTypes: true });
  return entries
    .filter((e) => e.isFile())
    .map((e) => join(e.parentPath, e.name))
    .filter((p) => p.includes(id));
}

it.each(['faststart.mp4', 'fragmented.mp4', 'a.mkv', 'a.ts'])(
  'shows %s while it arrives, and all of it afterwards',
  async (name) => {
    const sending = await begin([server], files[name]!, { watchWhileUploading: 'true' });
    await sending.to(0.85);
    const early = await eventually(async () => {
      const found = await renditions(server, sending.id);
      return found && (await segmentsAt(found[0]!)).count > 0 && found;
    });
    expect(early).toHaveLength(2);
    const begun = await segmentsAt(early[0]!);
    expect(begun.ended).toBe(false);
    const before = await getMedia(server, sending.id);
    expect(before.status).toBe('uploading');
    expect(before.playback).not.toBeNull();

    expect(await sending.to(1)).toBe(204);
    await playable(server, sending.id);
    await eventually(async () => (await segmentsAt(early[0]!)).ended);
    await expectWhole(early, FRAMES);
    // The last byte only added the end.
    expect((await segmentsAt(early[0]!)).uris.slice(0, begun.count)).toEqual(begun.uris);
    expect((await settled(server, sending.id)).status).toBe('ready');
    expect(await jobsOf(server, sending.id)).toMatchObject({ early: 'succeeded', ladder: 'succeeded' });
    expect(await jobsOf(server, sending.id)).not.toHaveProperty('copy');
  },
);

it('shows nothing before the last byte unless its owner allows it', async () => {
  const sending = await begin([server], files['faststart.mp4']!);
  await sending.to(0.85);
  // It is at work: something of the stream is in storage.
  await eventually(async () => (await stored(sending.id)).some((path) => path.endsWith('.m4s')));
  expect(await renditions(server, sending.id)).toBeUndefined();
  expect(await getMedia(server, sending.id)).toMatchObject({ status: 'uploading', playback: null });
  await sending.to(1);
  const whole = await playable(server, sending.id);
  expect(await jobsOf(server, sending.id)).not.toHaveProperty('copy');
  await expectWhole(whole, FRAMES);
});

it('takes the ordinary way with an index at the end', async () => {
  const sending = await begin([server], files['moov-last.mp4']!, { watchWhileUploading: 'true' });
  await sending.to(0.85);
  await eventually(async () => (await jobsOf(server, sending.id)).early === 'succeeded');
  expect(await renditions(server, sending.id)).toBeUndefined();
  expect((await stored(sending.id)).some((path) => path.endsWith('.m4s'))).toBe(false);
  await sending.to(1);
  const whole = await playable(server, sending.id);
  await expectWhole(whole, FRAMES);
  expect(await jobsOf(server, sending.id)).toMatchObject({ copy: 'succeeded' });
});

it('leaves nothing of an upload that is terminated', async () => {
  const sending = await begin([server], files['fragmented.mp4']!, { watchWhileUploading: 'true' });
  await sending.to(0.85);
  await eventually(async () => renditions(server, sending.id));
  await terminate(server, sending.id);
  expect(await stored(sending.id)).toEqual([]);
  expect(await jobsOf(server, sending.id)).toMatchObject({ early: 'cancelled' });
  expect(await getMedia(server, sending.id)).toMatchObject({
    status: 'cancelled',
    outputs: [],
    playback: null,
  });
});

it('leaves nothing of an upload that is not what was promised', async () => {
  const bytes = files['faststart.mp4']!;
  const other = createHash('sha256').update('something else').digest('base64');
  const sending = await begin(
    [server],
    bytes,
    { watchWhileUploading: 'true' },
    { 'repr-digest': `sha-256=:${other}:` },
  );
  await sending.to(0.85);
  await eventually(async () => renditions(server, sending.id));
  expect(await sending.to(1)).toBeGreaterThanOrEqual(400);
  await eventually(async () => (await jobsOf(server, sending.id)).discard === 'succeeded');
  expect(await stored(sending.id)).toEqual([]);
  expect(await getMedia(server, sending.id)).toMatchObject({ status: 'failed', outputs: [], playback: null });
});

it('leaves nothing of an upload whose rest is broken', async () => {
  const bytes = Buffer.from(files['a.mkv']!);
  bytes.fill(0, Math.floor(bytes.length * 0.7));
  const sending = await begin([server], bytes, { watchWhileUploading: 'true' });
  await sending.to(0.65);
  await eventually(async () => renditions(server, sending.id));
  await sending.to(1);
  expect(await settled(server, sending.id)).toMatchObject({ status: 'failed', error: { code: 'truncated' } });
  expect(await renditions(server, sending.id)).toBeUndefined();
  await eventually(async () => (await jobsOf(server, sending.id)).tidy === 'succeeded');
  // The source of a failed media stays, to be looked at.
  expect((await stored(sending.id)).map((path) => basename(path))).toEqual(['source']);
});

it('goes on after kill -9', async () => {
  const sending = await begin([server], files['faststart.mp4']!, { watchWhileUploading: 'true' });
  await sending.to(0.6);
  const early = await eventually(async () => renditions(server, sending.id));
  await server.kill();
  await server.restart();
  await followedAgain(server, sending.id);
  await sending.to(0.9);
  expect(await renditions(server, sending.id)).toEqual(early);
  await sending.to(1);
  await playable(server, sending.id);
  await eventually(async () => (await segmentsAt(early[0]!)).ended);
  await expectWhole(early, FRAMES);
  expect(await jobsOf(server, sending.id)).not.toHaveProperty('copy');
  // Nothing twice, and nothing left behind.
  expect((await settled(server, sending.id)).status).toBe('ready');
  await eventually(async () => (await jobsOf(server, sending.id)).tidy === 'succeeded');
  await eventually(async () => (await readdir(join(server.dataDir, 'scratch'))).length === 0);
  const folders = new Set((await stored(sending.id)).map((path) => path.split(sending.id)[1]!.split('/')[1]));
  expect(folders.size).toBe(4); // the source, its copy, the ladder that took its place, the poster
});
