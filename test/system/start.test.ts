/** A start whose database or storage is not there yet, or not as it was told. */
import { connect, createServer, type Server } from 'node:net';
import { once } from 'node:events';
import { openTestDatabase, type TestDatabase } from '../databases.ts';
import { freePort } from '../ports.ts';
import { eventually, startServer } from '../server.ts';
import { s3Environment, startS3 } from '../services/s3.ts';
import { startFaultProxy, type FaultProxy } from '../uploads/fault-proxy.ts';

/** Passes connections on, from now on. */
async function forward(port: number, target: URL): Promise<Server> {
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    client.on('error', () => upstream.destroy()).pipe(upstream);
    upstream.on('error', () => client.destroy()).pipe(client);
  }).listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** What a start that fails says. */
const failure = (env: Record<string, string>): Promise<string> =>
  startServer(env).then(
    async (server) => {
      await server.dispose();
      throw new Error('it started');
    },
    (error: Error) => error.message,
  );

describe('on postgres', () => {
  let database: TestDatabase;
  let url: URL;
  beforeAll(async () => {
    database = await openTestDatabase('postgres', { migrated: false });
    url = new URL(database.url ?? '');
  });
  afterAll(() => database?.close());

  it('waits for a database that comes up later', async () => {
    const port = await freePort();
    const behind = new URL(url);
    behind.host = `127.0.0.1:${port}`;
    const starting = startServer({ DATABASE_URL: behind.href, START_TIMEOUT: '50s' });
    const refusing = await refuse(port, 2);
    const late = await forward(port, url);
    const server = await starting;
    expect(refusing).toBe(2);
    expect(server.output()).toContain('waiting for the database');
    await server.dispose();
    late.close();
  });

  it('does not wait for a database that is there but refuses', async () => {
    const wrong = new URL(url);
    wrong.pathname = '/millrace_is_not_here';
    const said = await failure({ DATABASE_URL: wrong.href });
    expect(said).toMatch(/could not start: database "millrace_is_not_here" does not exist/);
    expect(said).not.toContain('waiting for');
  });

  it('gives up, and says what it waited for', async () => {
    const nobody = `postgresql://x:y@127.0.0.1:${(await freePort()).toString()}/x`;
    const said = await failure({ DATABASE_URL: nobody, START_TIMEOUT: '1s' });
    expect(said).toMatch(/the database was not there for 1 s \(START_TIMEOUT\): connect ECONNREFUSED/);
  });
});

describe('on s3', () => {
  let proxy: FaultProxy;
  let env: Record<string, string>;
  beforeAll(async () => {
    const s3 = s3Environment(await startS3());
    proxy = await startFaultProxy(s3['S3_ENDPOINT'] ?? '');
    env = { ...s3, S3_ENDPOINT: proxy.url };
  });
  afterEach(() => {
    proxy.rule = () => 'pass';
  });
  afterAll(() => proxy?.close());

  it.each(['error', 'reset'] as const)(
    'waits for storage that answers with %s at first',
    async (fault) => {
      proxy.calls = [];
      proxy.rule = () => (proxy.calls.length > 6 ? 'pass' : fault); // the SDK tries four times by itself
      const server = await startServer({ ...env, START_TIMEOUT: '50s' });
      expect(server.output()).toContain('waiting for storage');
      await server.dispose();
    },
    90_000,
  );

  it.each([
    ['a bucket that is not there', { S3_BUCKET: 'millrace-is-not-here' }, 'it does not exist (404)'],
    ['a wrong secret', { S3_SECRET_KEY: 'wrong' }, 'Look at S3_ACCESS_KEY, S3_SECRET_KEY'],
  ])(
    'does not wait for %s',
    async (_what, wrong, reason) => {
      const said = await failure({ ...env, ...wrong });
      expect(said).toMatch(/could not start: the bucket \S+ can't be used/);
      expect(said).toContain(reason);
      expect(said).not.toContain('waiting for');
    },
    90_000,
  );
});

/** Listens and ends so many connections at once: a server that is not up yet. */
async function refuse(port: number, times: number): Promise<number> {
  let count = 0;
  const server = createServer((socket) => {
    count++;
    socket.destroy();
  }).listen(port, '127.0.0.1');
  await eventually(() => Promise.resolve(count >= times));
  await new Promise((resolve) => server.close(resolve));
  return count;
}
