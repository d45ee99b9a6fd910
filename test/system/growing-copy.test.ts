/** A large picture that is taken over as it is: one can watch while it is copied, also when the server is killed on the way. */
import { appendFile, rm, stat, truncate } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeMedia } from '../media.ts';
import { slowFfmpeg, type SlowFfmpeg } from '../slow-ffmpeg.ts';
import { eventually, startServer, type TestServer } from '../server.ts';
import { uploadFile } from '../tus.ts';
import { expectPlays, getMedia, settled } from './flow.ts';
import { follow, namesOf } from './follower.ts';

/** Long enough for its bytes to be of a rate that browsers take. */
const SECONDS = 70;
const LARGE = 260 * 1024 * 1024;
let ffmpeg: SlowFfmpeg;
let server: TestServer;
let film: string;
beforeAll(async () => {
  ffmpeg = await slowFfmpeg(8);
  film = await makeMedia('film.mp4', [
    ...['-f', 'lavfi', '-i', `testsrc2=size=160x120:rate=25:duration=${SECONDS}`],
    ...['-f', 'lavfi', '-i', `sine=frequency=440:sample_rate=48000:duration=${SECONDS}`],
    ...[
      '-c:v',
      'libx264',
      '-preset',
      'ultrafast',
      '-pix_fmt',
      'yuv420p',
      '-g',
      '50',
      '-c:a',
      'aac',
      '-ac',
      '2',
    ],
  ]);
  await enlarge(film, LARGE);
  const quick = { LADDER: '120', X264_PRESET: 'ultrafast', STORYBOARD: 'off', WAVEFORM: 'off' };
  server = await startServer({ ...ffmpeg.env, ...quick, JOB_LEASE: '5s' });
});
afterAll(async () => {
  await server?.dispose();
  await ffmpeg?.dispose();
  if (film) await rm(dirname(film), { recursive: true });
});

/** A box of nothing (ISO/IEC 14496-12, 8.1.2) behind the index, which comes last here. */
async function enlarge(path: string, bytes: number): Promise<void> {
  const { size } = await stat(path);
  const head = Buffer.alloc(8);
  head.writeUInt32BE(bytes - size);
  head.write('free', 4, 'latin1');
  await appendFile(path, head);
  await truncate(path, bytes);
}

const playable = (id: string): Promise<string> =>
  eventually(async () => (await getMedia(server, id)).playback?.hls);

it('plays while it is copied, and goes on after a kill -9', async () => {
  const id = await uploadFile(server, film);
  const hls = await playable(id);
  expect((await getMedia(server, id)).status).toBe('playable');
  const follower = await follow(server, hls);
  const [picture] = follower.playlists;
  await eventually(async () => {
    expect(await follower.look()).toBe(false);
    return follower.seen.get(picture!)!.length >= 2;
  });
  await server.kill();
  await server.restart();
  const before = namesOf(follower.seen.get(picture!)!);
  expect(await follower.look()).toBe(false);
  await eventually(follower.look);
  const after = namesOf(follower.seen.get(picture!)!);
  expect(after.slice(0, before.length)).toEqual(before);
  expect(after.at(-1)).toMatch(/-2\.m4s$/);
  const media = await settled(server, id);
  expect(media).toMatchObject({ status: 'ready' });
  await expectPlays(server, media);
});
