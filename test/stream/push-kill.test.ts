/** kill -9 of a server that is sending a file to Stream: the next one goes on at the byte that Stream has. */
import { createHash, randomBytes } from 'node:crypto';
import { eventually, startServer, type TestServer } from '../server.ts';
import { s3Environment, startS3 } from '../services/s3.ts';
import { ACCOUNT, startStandIn, TOKEN, type StandIn } from '../stand-ins/stream/server.ts';
import { uploadBytes } from '../tus.ts';

const MB = 1024 * 1024;
const PATIENCE = 120_000;

describe.each(['disk', 's3'] as const)('a push from %s', (driver) => {
  let standIn: StandIn;
  let server: TestServer;
  beforeAll(async () => {
    standIn = await startStandIn();
    server = await startServer({
      ...{ ENCODER: 'stream', STREAM_TRANSFER: 'push', STREAM_API_URL: standIn.url },
      ...{ STREAM_ACCOUNT_ID: ACCOUNT, STREAM_API_TOKEN: TOKEN, JOB_LEASE: '3s' },
      ...{ STREAM_POLL_FIRST: '300ms', STREAM_POLL_LONGEST: '600ms', STREAM_POLL_CALLS: '100000' },
      ...(driver === 's3' ? s3Environment(await startS3()) : {}),
    });
  });
  afterAll(async () => {
    await server.dispose();
    await standIn.close();
  });

  it('that was killed in the middle goes on, with one video', async () => {
    const { world } = standIn;
    const bytes = randomBytes(18 * MB);
    world.holdPushAt = 6 * MB;
    const id = await uploadBytes(server, bytes);
    await eventually(async () => (world.live[0]?.push?.offset ?? 0) >= world.holdPushAt, PATIENCE);
    await server.kill();
    world.holdPushAt = Infinity;
    const before = world.calls.length;
    await server.restart();
    await eventually(async () => {
      const media = (await (await server.fetch(`/api/media/${id}`)).json()) as { status: string };
      return media.status === 'ready';
    }, PATIENCE);
    expect(world.videos.size).toBe(1);
    expect(world.live[0]).toMatchObject({ sha256: createHash('sha256').update(bytes).digest('hex') });
    // HEAD tells where to go on; another offset would be answered 409. Nothing is opened a second time.
    const after = world.calls.slice(before).filter((call) => call.startsWith('tus'));
    expect(after.slice(0, 2)).toEqual(['tus HEAD /upload', 'tus PATCH /upload']);
    expect(after.join()).not.toContain('POST');
    expect(world.violations).toEqual([]);
  });
});
