/** What was finished of HEVC, in the background of a media that is ready, is not made again after a kill -9. */
import type { Db } from '../../db/dialect.ts';
import { hlsOutputs, segmentsOf } from '../../server/media/growing.ts';
import { eventually, type TestServer } from '../server.ts';
import { uploadFile } from '../tus.ts';
import { expectPlays, settled } from './flow.ts';
import { slowServer, type SlowServer } from './slow-server.ts';

let slow: SlowServer;
let server: TestServer;
let db: Db;
beforeAll(async () => {
  // Its own picture is the top rung, so H.264 has nothing to encode.
  const film = { name: 'film.mp4', size: '192x108', seconds: 32 };
  slow = await slowServer(film, { LADDER: '108', X265_PRESET: 'ultrafast', CODECS: 'h264,hevc' });
  ({ server, db } = slow);
});
afterAll(() => slow?.dispose());

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
  const id = await uploadFile(server, slow.film);
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
