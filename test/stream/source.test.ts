/** `/source/{token}`: what Stream fetches from. And: without Stream there is neither it nor the webhook. */
import { randomBytes } from 'node:crypto';
import request from 'supertest';
import { sourceToken } from '../../server/auth/source-tokens.ts';
import { newId } from '../../server/ids.ts';
import { S3Storage } from '../../server/storage/s3.ts';
import { eventually } from '../server.ts';
import { openTestApp } from '../http/app.ts';
import { startS3 } from '../services/s3.ts';
import { openStreamApp, type StreamApp } from './harness.ts';

const DAY = 86_400_000;

describe.each(['disk', 's3'] as const)('a source on %s', (driver) => {
  const bytes = randomBytes(3_000_000);
  let app: StreamApp;
  let id: string;
  let address: string;
  let storage: S3Storage | undefined;
  const get = (headers: Record<string, string> = {}, method = 'GET') =>
    fetch(address, { method, headers, redirect: 'manual' });

  beforeAll(async () => {
    if (driver === 's3') {
      const s3 = await startS3();
      storage = new S3Storage({ ...s3, prefix: '' });
    }
    app = await openStreamApp('sqlite', { started: false, ...(storage ? { storage } : {}) });
    id = await app.upload(bytes);
    const attempt = await app.attempt(id);
    address = `${app.url}/source/${sourceToken(app.remote.sourceKeys, attempt.id, DAY)}`;
  });
  afterAll(async () => {
    await app.close();
    storage?.close();
  });

  it('answers HEAD with what a downloader needs', async () => {
    const head = await get({}, 'HEAD');
    expect(head.status).toBe(200);
    expect(head.headers.get('content-length')).toBe(String(bytes.length));
    expect(head.headers.get('accept-ranges')).toBe('bytes');
    expect(head.headers.get('etag')).toMatch(/^"[^"]+"$/);
  });

  it('answers whole, in ranges, and not beyond its end', async () => {
    expect(Buffer.from(await (await get()).arrayBuffer()).equals(bytes)).toBe(true);
    const etag = (await get({}, 'HEAD')).headers.get('etag')!;
    const part = await get({ Range: 'bytes=1000000-1999999', 'If-Range': etag });
    expect(part.status).toBe(206);
    expect(part.headers.get('content-range')).toBe(`bytes 1000000-1999999/${bytes.length}`);
    expect(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(1_000_000, 2_000_000))).toBe(true);
    expect((await get({ Range: `bytes=${bytes.length}-` })).status).toBe(416);
  });

  it('answers nothing to other tokens, and says so in the log without the token', async () => {
    const { sourceKeys } = app.remote;
    const { id: attempt } = await app.attempt(id);
    const cases: [string, number][] = [
      ['nonsense', 403],
      [sourceToken([Buffer.alloc(32, 9)], attempt, DAY), 403],
      [sourceToken(sourceKeys, attempt, -DAY), 403],
      [sourceToken(sourceKeys, newId(), DAY), 404],
    ];
    for (const [token, status] of cases) {
      const answer = await fetch(`${app.url}/source/${token}`);
      expect([token.slice(0, 8), answer.status]).toEqual([token.slice(0, 8), status]);
    }
    const lines = app.log.filter(({ msg }) => msg === 'source refused');
    expect(lines).toHaveLength(cases.length);
    const everything = JSON.stringify(app.log);
    for (const [token] of cases.slice(1)) expect(everything).not.toContain(token);
  });

  it('is closed when the attempt has ended', async () => {
    app.start();
    await eventually(async () => (await app.media(id)).status === 'ready');
    expect(app.standIn.world.live[0]?.fetches[0]).toBe('HEAD 200');
    const answer = await get();
    expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([
      403,
      'source_token_revoked',
    ]);
  });
});

it('without Stream there is no source, no webhook and no poll', async () => {
  const app = await openTestApp('sqlite');
  try {
    expect((await request(app.app).get('/source/x')).status).toBe(404);
    expect((await request(app.app).post('/webhooks/cloudflare').send('{}')).status).toBe(404);
    expect(app.ctx.config.stream).toBeUndefined();
  } finally {
    await app.close();
  }
});
