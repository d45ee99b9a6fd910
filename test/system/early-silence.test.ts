/** What only waits for an upload to go on costs nothing that others need, and not for ever. */
import { readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeMedia, makeNoisyClip, quickH264 } from '../media.ts';
import { eventually, startServer, type TestServer } from '../server.ts';
import { tracedFfmpeg, type TracedFfmpeg } from '../traced-ffmpeg.ts';
import { settled } from './flow.ts';
import { begin, expectWhole, jobsOf, renditions } from './sending.ts';

const STALL_MS = 6_000;
const IDLE_MS = 12_000;
const SECONDS = 12;

let ffmpeg: TracedFfmpeg;
let server: TestServer;
let moovLast: Buffer;
let faststart: Buffer;
beforeAll(async () => {
  ffmpeg = await tracedFfmpeg();
  server = await startServer({
    ...ffmpeg.env,
    ...{
      EARLY_MIN_SIZE: '2MB',
      LADDER: '144',
      X264_PRESET: 'ultrafast',
      STORYBOARD: 'false',
      DISK_FLOOR: '0',
    },
    ...{ STALL_TIMEOUT: `${STALL_MS}ms`, EARLY_IDLE_TIMEOUT: `${IDLE_MS}ms` },
  });
  const source = await makeNoisyClip('moov-last.mp4', SECONDS, quickH264('6M'));
  const moved = await makeMedia('faststart.mp4', ['-i', source, '-c', 'copy', '-movflags', '+faststart']);
  [moovLast, faststart] = (await Promise.all([source, moved].map((path) => readFile(path)))) as [
    Buffer,
    Buffer,
  ];
  for (const path of [source, moved]) await rm(dirname(path), { recursive: true });
});
afterAll(async () => {
  await server?.dispose();
  await ffmpeg?.dispose();
});

it('starts no FFmpeg for a file whose index comes last', async () => {
  await fetch(`${server.url}/readyz`); // which asks for FFmpeg's version
  await ffmpeg.forget();
  const sending = await begin([server], moovLast);
  await sending.to(0.85);
  await eventually(async () => (await jobsOf(server, sending.id)).early === 'succeeded');
  expect(await ffmpeg.started()).toEqual([]);
  await sending.to(1);
  expect((await settled(server, sending.id)).status).toBe('ready');
});

it('waits for longer than an encoder may stall, and then gives up', async () => {
  const sending = await begin([server], faststart, { watchWhileUploading: 'true' });
  await sending.to(0.85);
  await eventually(async () => renditions(server, sending.id));
  await eventually(async () => (await jobsOf(server, sending.id)).early === 'succeeded');
  // The silence was twice as long as that, and it did not count as a failed attempt.
  expect(server.output()).not.toContain('encode_stalled');
  expect(await ffmpeg.running()).toEqual([]);
  expect(await renditions(server, sending.id)).toBeUndefined();
  expect(await readdir(join(server.dataDir, 'scratch'))).toEqual([]);

  expect(await sending.to(1)).toBe(204);
  expect((await settled(server, sending.id)).status).toBe('ready');
  expect(await jobsOf(server, sending.id)).toMatchObject({ probe: 'succeeded', ladder: 'succeeded' });
  await expectWhole((await renditions(server, sending.id))!, SECONDS * 25);
});
