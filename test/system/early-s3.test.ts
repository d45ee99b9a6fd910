/** Uploads that are worked on while they arrive, where nobody can read the parts of an unfinished object. */
import { readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { S3Storage } from '../../server/storage/s3.ts';
import { loadConfig } from '../../server/config.ts';
import { openStorage } from '../../server/storage/index.ts';
import { makeNoisyClip, quickH264 } from '../media.ts';
import { eventually, startServer, type TestServer } from '../server.ts';
import { getMedia, s3AndPostgres, settled, type Installation } from './flow.ts';
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

const SECONDS = 24;
const FRAMES = SECONDS * 25;
const ENV = {
  ...{ EARLY_MIN_SIZE: '2MB', UPLOAD_PART_SIZE: '5MB', LADDER: '144', X264_PRESET: 'ultrafast' },
  ...{ STORYBOARD: 'false', JOB_LEASE: '3s' },
};

let installation: Installation;
let servers: [TestServer, TestServer];
let worker: TestServer;
let storage: S3Storage;
let bytes: Buffer;
beforeAll(async () => {
  installation = await s3AndPostgres();
  const env = { ...installation.env, ...ENV };
  const [first, second, third] = await Promise.all(
    ['server', 'server', 'worker'].map((ROLE) => startServer({ ...env, ROLE })),
  );
  servers = [first!, second!];
  worker = third!;
  storage = openStorage(loadConfig(env)) as S3Storage;
  const options = [...quickH264('9M'), '-movflags', '+faststart'];
  const path = await makeNoisyClip('source.mp4', SECONDS, options);
  bytes = await readFile(path);
  await rm(dirname(path), { recursive: true });
});
afterAll(async () => {
  await Promise.all([...(servers ?? []), worker].map((server) => server?.dispose()));
  storage?.close();
  await installation?.close?.();
});

/** Keys in the bucket that have to do with a media. */
async function stored(id: string): Promise<string[]> {
  const keys: string[] = [];
  for (const prefix of [`incoming/${id}/`, `media/${id}/`])
    for await (const { key } of storage.list(prefix)) keys.push(key);
  return keys;
}
const copies = async (id: string): Promise<string[]> =>
  (await stored(id)).filter((key) => key.startsWith(`incoming/${id}/parts/`));

it('shows it while it arrives by two servers, and survives the worker that follows it', async () => {
  const [server] = servers;
  const sending = await begin(servers, bytes, { watchWhileUploading: 'true' });
  await sending.to(0.5);
  const early = await eventually(async () => {
    const found = await renditions(server, sending.id);
    return found && (await segmentsAt(found[0]!)).count > 0 && found;
  });
  expect((await segmentsAt(early[0]!)).ended).toBe(false);
  expect((await copies(sending.id)).length).toBeGreaterThan(0);
  await worker.kill();
  await sending.to(0.7);
  await worker.restart();
  await followedAgain(server, sending.id);
  await sending.to(0.9);
  expect(await renditions(server, sending.id)).toEqual(early);
  expect(await sending.to(1)).toBe(204);
  await playable(server, sending.id);
  await eventually(async () => (await segmentsAt(early[0]!)).ended);
  await expectWhole(early, FRAMES);
  expect((await settled(server, sending.id)).status).toBe('ready');
  expect(await jobsOf(server, sending.id)).toMatchObject({ early: 'succeeded', ladder: 'succeeded' });
  expect(await jobsOf(server, sending.id)).not.toHaveProperty('copy');
  expect(await copies(sending.id)).toEqual([]);
});

it('goes on when a server that took its bytes is killed', async () => {
  const [server, other] = servers;
  const sending = await begin(servers, bytes, { watchWhileUploading: 'true' });
  await sending.to(0.6);
  const early = await eventually(async () => renditions(other, sending.id));
  await server.kill();
  await server.restart();
  await sending.resume();
  expect(await sending.to(1)).toBe(204);
  await playable(server, sending.id);
  await eventually(async () => (await segmentsAt(early[0]!)).ended);
  await expectWhole(early, FRAMES);
  expect(await jobsOf(server, sending.id)).not.toHaveProperty('copy');
  expect(await copies(sending.id)).toEqual([]);
});

it('leaves nothing of an upload that is terminated', async () => {
  const [server] = servers;
  const sending = await begin(servers, bytes, { watchWhileUploading: 'true' });
  await sending.to(0.6);
  await eventually(async () => renditions(server, sending.id));
  await terminate(server, sending.id);
  expect(await stored(sending.id)).toEqual([]);
  expect(await getMedia(server, sending.id)).toMatchObject({ status: 'cancelled', outputs: [] });
});
