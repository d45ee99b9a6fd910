/** A server whose PostgreSQL goes away and comes back: clients are told to come again, and it goes on by itself. */
import { openTestDatabase, type TestDatabase } from '../databases.ts';
import { eventually, startServer, type TestServer } from '../server.ts';
import { startRudeProxy, type Mode, type RudeProxy } from '../services/rude-proxy.ts';
import { create } from '../tus.ts';

let database: TestDatabase;
let proxy: RudeProxy;
let server: TestServer;

beforeAll(async () => {
  database = await openTestDatabase('postgres');
  proxy = await startRudeProxy(database.url ?? '');
  server = await startServer({ DATABASE_URL: proxy.url, LOG_LEVEL: 'silent' });
}, 180_000);
afterAll(async () => {
  proxy.mode = 'pass';
  await server?.dispose();
  await proxy?.close();
  await database?.close();
});

const away = (mode: Mode): void => {
  proxy.mode = mode;
  proxy.cut();
};

const ADDRESSES = [
  '/api/media',
  '/api/jobs',
  '/api/usage',
  '/api/media/01a22b87-3295-73e7-9026-56d14624ca6f',
];

it('answers 503 with Retry-After while it is away, and as ever afterwards', async () => {
  away('refuse');
  for (const path of ADDRESSES) {
    const answer = await server.fetch(path);
    const { code } = (await answer.json()) as { code: string };
    expect([path, answer.status, answer.headers.get('retry-after'), code]).toEqual([
      path,
      503,
      '5',
      'unavailable',
    ]);
  }
  expect((await server.fetch('/readyz')).status).toBe(503);
  const upload = await create(server, { 'upload-length': '10' });
  expect([upload.status, Number(upload.headers.get('retry-after'))]).toEqual([503, expect.any(Number)]);
  away('pass');
  await eventually(async () => (await server.fetch('/readyz')).status === 200);
  expect((await server.fetch('/api/media')).status).toBe(200);
  expect((await create(server, { 'upload-length': '10' })).status).toBe(201);
});
