/** What was finished is not made again, neither after a kill -9 nor after a retry. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Db } from '../../db/dialect.ts';
import { eventually, type TestServer } from '../server.ts';
import { uploadFile } from '../tus.ts';
import { expectPlays, settled } from './flow.ts';
import { slowServer, type SlowServer } from './slow-server.ts';

let slow: SlowServer;
let server: TestServer;
let db: Db;
beforeAll(async () => {
  // Its own picture is taken over, and then it is encoded, in chunks.
  const film = { name: 'film.mkv', size: '320x240', seconds: 30 };
  slow = await slowServer(film, { LADDER: '240,120', WORKER_CONCURRENCY: '1' });
  ({ server, db } = slow);
});
afterAll(() => slow?.dispose());

/** The media's jobs that are done: each run of one would change its row. */
const done = (id: string) =>
  db
    .selectFrom('job')
    .select(['key', 'task', 'attempts', 'startedAt', 'finishedAt'])
    .where('mediaId', '=', id)
    .where('status', '=', 'succeeded')
    .orderBy('id')
    .execute();

const outputOf = (id: string, kind: string) =>
  db
    .selectFrom('output')
    .select(['id', 'prefix'])
    .where('mediaId', '=', id)
    .where('kind', '=', kind)
    .executeTakeFirst();

/** The stored segments below a prefix, and the very file that each is. */
async function segmentsBelow(prefix: string): Promise<Map<string, string>> {
  const all = await readdir(server.dataDir, { recursive: true });
  const found = all.filter((path) => path.includes(prefix) && path.endsWith('.m4s')).sort();
  const files = found.map(async (path): Promise<[string, string]> => {
    const { ino, mtimeMs } = await stat(join(server.dataDir, path));
    return [path, `${ino} ${mtimeMs}`];
  });
  return new Map(await Promise.all(files));
}

const isOfLadder = ({ task, payload }: { task: string; payload: string }): boolean =>
  task === 'chunk' && payload.includes('"ladder"');

const jobsWith = (id: string, status: string) =>
  db
    .selectFrom('job')
    .select(['id', 'key', 'task', 'payload'])
    .where('mediaId', '=', id)
    .where('status', '=', status)
    .orderBy('id')
    .execute();

/** Waits until one of the ladder's chunks is complete, but not all of them. */
async function inTheMiddle(id: string): Promise<void> {
  await eventually(
    async () =>
      (await jobsWith(id, 'succeeded')).some(isOfLadder) && (await jobsWith(id, 'running')).some(isOfLadder),
  );
}

it('a kill -9 in the middle of the ladder costs the running chunk and nothing else', async () => {
  const id = await uploadFile(server, slow.film);
  await inTheMiddle(id);
  await server.kill();
  const before = await done(id);
  const running = (await jobsWith(id, 'running')).map(({ key }) => key);
  const outputs = [await outputOf(id, 'copy'), await outputOf(id, 'ladder')];
  const copy = await segmentsBelow(outputs[0]!.prefix);
  const chunks = await segmentsBelow(outputs[1]!.prefix);
  expect(copy.size).toBeGreaterThan(0);

  await server.restart();
  const media = await settled(server, id);
  expect(media).toMatchObject({ status: 'ready' });
  const after = await done(id);
  expect(after).toEqual(expect.arrayContaining(before));
  const again = after.filter(({ attempts }) => attempts > 1).map(({ key }) => key);
  expect(again).toEqual(running);
  expect([await outputOf(id, 'copy'), await outputOf(id, 'ladder')]).toEqual(outputs);
  expect(await segmentsBelow(outputs[0]!.prefix)).toEqual(copy);
  // A killed chunk may have stored segments that no row names: those are gone, and made again under other names.
  const now = await segmentsBelow(outputs[1]!.prefix);
  const named = await db.selectFrom('segment').select('uri').where('outputId', '=', outputs[1]!.id).execute();
  expect(named).toEqual([]); // it is complete: its playlist names them
  for (const [path, file] of now) expect(chunks.get(path) ?? file).toBe(file);
  const kept = [...chunks.keys()].filter((path) => now.has(path));
  expect(kept.length).toBeGreaterThan(0);
  await expectPlays(server, media);
});

it('a retry begins where the media failed', async () => {
  const id = await uploadFile(server, slow.film);
  await inTheMiddle(id);
  const copy = (await outputOf(id, 'copy'))!;
  const files = await segmentsBelow(copy.prefix);
  await eventually(async () => {
    const unfinished = [...(await jobsWith(id, 'running')), ...(await jobsWith(id, 'queued'))];
    const job = unfinished.findLast(isOfLadder);
    return job && (await server.fetch(`/api/jobs/${job.id}/cancel`, { method: 'POST' })).ok;
  });
  expect(await settled(server, id)).toMatchObject({ status: 'failed', error: { code: 'job_cancelled' } });
  expect(await outputOf(id, 'ladder')).toBeUndefined();

  const retried = await server.fetch(`/api/media/${id}/retry`, { method: 'POST' });
  expect(retried.status).toBe(202);
  const media = await settled(server, id);
  expect(media).toMatchObject({ status: 'ready' });
  expect(await outputOf(id, 'copy')).toEqual(copy);
  expect(await segmentsBelow(copy.prefix)).toEqual(files);
  const second = await db
    .selectFrom('job')
    .select('task')
    .where('mediaId', '=', id)
    .where('mediaAttempt', '=', 2)
    .execute();
  expect(new Set(second.map(({ task }) => task))).toEqual(new Set(['ladder', 'chunk', 'join']));
});
