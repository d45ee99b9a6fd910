/** Watching while it is encoded: what grows only ever grows, also when the server is killed on the way. */
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeMedia } from '../media.ts';
import { slowFfmpeg, type SlowFfmpeg } from '../slow-ffmpeg.ts';
import { eventually, startServer, type TestServer } from '../server.ts';
import { uploadFile } from '../tus.ts';
import { expectPlays, getMedia, settled } from './flow.ts';
import { follow, namesOf } from './follower.ts';

const SECONDS = 20;
/** Cut at ½, 1, 2, 4, 6, 8, 12, 18 s; the sound from its first second on. */
const numbersOf = (playlist: string): number[] =>
  Array.from({ length: playlist.includes('/a0/') ? 8 : 9 }, (_, n) => n + 1);
let ffmpeg: SlowFfmpeg;
let server: TestServer;
let film: string;
beforeAll(async () => {
  ffmpeg = await slowFfmpeg(2);
  film = await makeMedia('film.mkv', [
    ...['-f', 'lavfi', '-i', `testsrc2=size=320x240:rate=25:duration=${SECONDS}`],
    ...['-f', 'lavfi', '-i', `sine=frequency=440:sample_rate=48000:duration=${SECONDS}`],
    ...['-c:v', 'mpeg4', '-c:a', 'libmp3lame'], // which has to be encoded
  ]);
  const quick = { LADDER: '240', X264_PRESET: 'ultrafast', STORYBOARD: 'off', WAVEFORM: 'off' };
  server = await startServer({ ...ffmpeg.env, ...quick, JOB_LEASE: '5s' });
});
afterAll(async () => {
  await server?.dispose();
  await ffmpeg?.dispose();
  if (film) await rm(dirname(film), { recursive: true });
});

const playable = (id: string): Promise<string> =>
  eventually(async () => (await getMedia(server, id)).playback?.hls);

it('grows in order, without a hole, until it ends', async () => {
  const id = await uploadFile(server, film);
  const hls = await playable(id);
  expect((await getMedia(server, id)).status).toBe('playable');
  const follower = await follow(server, hls);
  let looks = 0;
  let growing = 0;
  await eventually(async () => {
    const ended = await follower.look();
    looks++;
    if (!ended) growing++;
    return ended;
  });
  expect(looks).toBeGreaterThan(growing);
  expect(growing).toBeGreaterThan(0);
  for (const playlist of follower.playlists)
    expect(namesOf(follower.seen.get(playlist)!)).toEqual(numbersOf(playlist).map((n) => `0000${n}-1.m4s`));
  const media = await settled(server, id);
  expect(media).toMatchObject({ status: 'ready' });
  await expectPlays(server, media);
});

it('goes on with the same stream after a kill -9', async () => {
  const id = await uploadFile(server, film);
  const hls = await playable(id);
  const follower = await follow(server, hls);
  const [first] = follower.playlists;
  await eventually(async () => {
    expect(await follower.look()).toBe(false);
    return follower.seen.get(first!)!.length >= 2;
  });
  await server.kill();
  await server.restart();
  const before = namesOf(follower.seen.get(first!)!);
  expect(await follower.look()).toBe(false); // those who watch can go on watching what is there
  await eventually(follower.look);
  const after = namesOf(follower.seen.get(first!)!);
  expect(after.slice(0, before.length)).toEqual(before);
  expect(after.map((name) => name.slice(0, 5))).toEqual(numbersOf(first!).map((n) => `0000${n}`));
  // The first attempt's stay, the second's follow.
  expect(after[0]).toMatch(/-1\.m4s$/);
  expect(after.at(-1)).toMatch(/-2\.m4s$/);
  const media = await settled(server, id);
  expect(media).toMatchObject({ status: 'ready' });
  await expectPlays(server, media);
});
