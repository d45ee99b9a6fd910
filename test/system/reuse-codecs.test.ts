/** What was finished of HEVC, in the background of a media that is ready, is not made again after a kill -9. */
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { openDatabase, type Db } from '../../db/dialect.ts';
import { hlsOutputs, segmentsOf } from '../../server/media/growing.ts';
import { makeMedia } from '../media.ts';
import { eventually, startServer, type TestServer } from '../server.ts';
import { slowFfmpeg, type SlowFfmpeg } from '../slow-ffmpeg.ts';
import { uploadFile } from '../tus.ts';
import { expectPlays, settled } from './flow.ts';

let ffmpeg: SlowFfmpeg;
let server: TestServer;
let db: Db;
let film: string;
beforeAll(async () => {
  ffmpeg = await slowFfmpeg(8);
  // Its own picture is the top rung, so H.264 has nothing to encode.
  film = await makeMedia('film.mp4', [
    ...['-f', 'lavfi', '-i', 'testsrc2=size=192x108:rate=25:duration=32'],
    ...['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-g', '50'],
  ]);
  const quick = { LADDER: '108', X264_PRESET: 'ultrafast', X265_PRESET: 'ultrafast', STORYBOARD: 'off' };
  const parts = { CODECS: 'h264,hevc', CHUNK_SECONDS: '12', JOB_LEASE: '5s' };
  server = await startServer({ ...ffmpeg.env, ...quick, ...parts });
  db = openDatabase({ file: join(server.dataDir, 'millrace.db') });
});
afterAll(async () => {
  await db?.destroy();
  await server?.dispose();
  await ffmpeg?.dispose();
  if (film) await rm(dirname(film), { recursive: true });
});

/** The jobs of its parts; each run of one would change its row. */
const parts = (id: string) =>
  db
    .selectFrom('job')
    .select(['key', 'status', 'attempts', 'startedAt', 'finishedAt'])
    .where('mediaId', '=', id)
    .where('task', '=', 'hevc-chunk')
    .orderBy('id')
    .execute();

it('a kill -9 in the middle costs the running part and nothing else', async () => {
  const id = await uploadFile(server, film);
  expect(await settled(server, id)).toMatchObject({ status: 'ready' });
  await eventually(async () => {
    const statuses = (await parts(id)).map(({ status }) => status);
    return statuses.includes('succeeded') && statuses.includes('running') && statuses.includes('queued');
  });
  await server.kill();
  const before = await parts(id);
  const [output] = (await hlsOutputs(db, id, { opening: true })).filter(({ kind }) => kind === 'hevc');
  const stored = await segmentsOf(db, output!.id, 'v108-hevc');
  expect(stored.length).toBeGreaterThan(1);

  await server.restart();
  const joined = await eventually(async () => {
    const [hevc] = (await hlsOutputs(db, id)).filter(({ kind }) => kind === 'hevc');
    return hevc;
  });
  expect([joined.id, joined.details.state]).toEqual([output!.id, 'complete']);
  const after = await parts(id);
  expect(after).toEqual(expect.arrayContaining(before.filter(({ status }) => status === 'succeeded')));
  const again = after.filter(({ attempts }) => attempts > 1).map(({ key }) => key);
  expect(again).toEqual(before.filter(({ status }) => status === 'running').map(({ key }) => key));
  const playlist = await (await server.fetch(`/media/${id}/hls/${joined.id}/v108-hevc/index.m3u8`)).text();
  for (const { uri } of stored) expect(playlist).toContain(uri);
  await expectPlays(server, await settled(server, id));
});
