/** What keeps an installation going: keys, health, metrics, pages, uploads' place, the feed. */
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import express from 'express';
import request from 'supertest';
import { transact } from '../../db/transaction.ts';
import { emit } from '../../server/events/events.ts';
import { createAuthenticator } from '../../server/auth/index.ts';
import { createFeed } from '../../server/events/feed.ts';
import { createAccess } from '../../server/http/access.ts';
import { eventRoutes } from '../../server/http/events.ts';
import { createHealthApp } from '../../server/index.ts';
import { eventually } from '../server.ts';
import { A_STRING, type Answer, makeJob, makeMedia, makeOutputs, openTestApp, type TestApp } from './app.ts';

let test: TestApp;
afterEach(() => test.close());

describe('/api/keys', () => {
  beforeEach(async () => (test = await openTestApp('sqlite')));
  const keys = () => request(test.app).get('/api/keys').set(test.as.admin);

  it('makes a key, shows it once, and revokes it', async () => {
    const made = await request(test.app)
      .post('/api/keys')
      .set(test.as.admin)
      .send({ name: 'phone', owner: 'carl', scopes: ['read'] });
    expect(made.status).toBe(201);
    expect(made.headers['cache-control']).toBe('no-store');
    const { key, id, ...rest } = made.body as { key: string; id: string };
    expect(rest).toMatchObject({ name: 'phone', owner: 'carl', scopes: ['read'], lastUsedAt: null });

    const me = () => request(test.app).get('/api/me').set('Authorization', `Bearer ${key}`);
    expect((await me()).body).toMatchObject({ owner: 'carl', scopes: ['read'], keyId: id });
    const listed = await keys();
    expect(listed.text).not.toContain(key);
    expect((listed.body as { items: unknown[] }).items).toContainEqual({
      ...rest,
      id,
      lastUsedAt: A_STRING,
    });

    const revoke = () => request(test.app).delete(`/api/keys/${id}`).set(test.as.admin);
    expect((await revoke()).status).toBe(204);
    expect((await revoke()).status).toBe(404);
    expect((await me()).status).toBe(401);
    expect(JSON.stringify(test.log)).not.toContain(key);
    expect(test.log).toContainEqual(expect.objectContaining({ audit: 'key.revoke', by: 'root', keyId: id }));
  });

  it('makes keys that upload and read for oneself when nothing else is said', async () => {
    const { body } = (await request(test.app)
      .post('/api/keys')
      .set(test.as.admin)
      .send({ name: 'mine' })) as Answer;
    expect(body).toMatchObject({ owner: 'root', scopes: ['upload', 'read'] });
  });
});

describe('health', () => {
  it('is told check by check', async () => {
    const checks = [
      { name: 'database', ok: true },
      { name: 'ffmpeg', ok: false, detail: 'not found' },
    ];
    test = await openTestApp('sqlite', {}, { readiness: () => Promise.resolve(checks) });
    expect((await request(test.app).get('/livez')).body).toEqual({ status: 'ok' });
    const bad = await request(test.app).get('/readyz');
    expect([bad.status, bad.body]).toEqual([503, { status: 'unavailable', checks }]);
    checks[1] = { name: 'ffmpeg', ok: true, detail: '5.1' };
    const good = await request(test.app).get('/readyz');
    expect([good.status, good.headers['cache-control']]).toEqual([200, 'no-store']);
    expect(good.body).toEqual({ status: 'ok', checks });
  });

  it('is all a worker answers', async () => {
    test = await openTestApp('sqlite');
    const readiness = () => Promise.resolve([]);
    const worker = createHealthApp({ ...test.ctx, telemetry: await ownRegistry() }, { readiness });
    expect((await request(worker).get('/readyz')).status).toBe(200);
    expect((await request(worker).get('/api/me').set(test.as.ann)).status).toBe(404);
  });

  async function ownRegistry() {
    const { Registry } = await import('prom-client');
    return { ...test.ctx.telemetry, registry: new Registry() };
  }
});

describe('/metrics', () => {
  it('count what waits, and time requests by route', async () => {
    test = await openTestApp('sqlite');
    const media = await makeMedia(test.ctx);
    await makeJob(test.ctx, media, { task: 'ladder' });
    await makeJob(test.ctx, media, { task: 'probe', status: 'succeeded' });
    await request(test.app).get(`/api/media/${media.id}`).set(test.as.ann);
    const { text, type } = await request(test.app).get('/metrics').set(test.as.admin);
    expect(type).toBe('text/plain');
    expect(text).toContain('millrace_jobs{task="ladder",status="queued"} 1');
    expect(text).not.toContain('succeeded');
    expect(text).toContain('millrace_media{status="processing"} 1');
    expect(text).toContain(
      'millrace_http_request_duration_seconds_count{method="GET",route="/api/media/:id",status="200"} 1',
    );
    expect(text).not.toContain(media.id);
  });
});

describe('pages', () => {
  let pages: string;
  beforeEach(async () => {
    pages = await mkdtemp(join(tmpdir(), 'millrace-pages-'));
    await mkdir(join(pages, 'assets'));
    for (const page of ['index', 'watch', 'admin', 'login'])
      await writeFile(join(pages, `${page}.html`), page);
    await writeFile(join(pages, 'assets/app-1a2b.js'), 'js');
    await writeFile(join(pages, 'favicon.svg'), '<svg/>');
    test = await openTestApp('sqlite', {}, { pages });
  });
  afterEach(() => rm(pages, { recursive: true }));

  it.each([
    ['/', 'index'],
    ['/watch/0190', 'watch'],
    ['/admin', 'admin'],
    ['/login', 'login'],
  ])('%s is given to everybody, and asked for again each time', async (path, text) => {
    const answer = await request(test.app).get(path);
    expect([answer.status, answer.text, answer.type]).toEqual([200, text, 'text/html']);
    expect(answer.headers['cache-control']).toBe('no-cache');
    const policy = String(answer.headers['content-security-policy']);
    expect(policy).toContain("script-src 'self';");
    expect(policy).toContain("media-src 'self' blob: data:");
    const again = await request(test.app).get(path).set('If-None-Match', String(answer.headers.etag));
    expect(again.status).toBe(304);
  });

  it('have files that are kept for ever, by the hash in their names', async () => {
    const { headers } = await request(test.app).get('/assets/app-1a2b.js');
    expect(headers['cache-control']).toBe('public, max-age=31536000, immutable');
    expect((await request(test.app).get('/favicon.svg')).status).toBe(200);
    expect((await request(test.app).get('/assets/other.js')).status).toBe(404);
    expect((await request(test.app).get('/..%2fpackage.json')).status).not.toBe(200);
  });

  it('say what to do when they are not built', async () => {
    await rm(join(pages, 'index.html'));
    const { status, text } = await request(test.app).get('/');
    expect([status, text]).toEqual([503, expect.stringContaining('npm run build')]);
  });

  it('load nothing elsewhere: answers that are no pages may not even try', async () => {
    const { headers } = await request(test.app).get('/api/me');
    expect(headers['content-security-policy']).toBe("default-src 'none';frame-ancestors 'none'");
    expect(headers).not.toHaveProperty('x-powered-by');
  });
});

describe('the log', () => {
  it('has a line for each request; segments and health only when one looks closely', async () => {
    test = await openTestApp('sqlite');
    const media = await makeMedia(test.ctx, { visibility: 'public' });
    await makeOutputs(test.ctx, media);
    const level = async (path: string) => {
      await request(test.app).get(path);
      // A line is written when the server's side of the exchange closes, which may be after the client has it all.
      return eventually(() => Promise.resolve(test.log.find((line) => line.path === path)?.level));
    };
    const [debug, info] = [20, 30];
    expect(await level('/livez')).toBe(debug);
    expect(await level(`/media/${media.id}/hls/360p/seg-00001.m4s`)).toBe(debug);
    expect(await level(`/media/${media.id}/hls/index.m3u8`)).toBe(info);
    expect(await level('/api/nothing')).toBe(info);
  });
});

describe('/files', () => {
  it('goes to the upload engine with address and body untouched', async () => {
    test = await openTestApp('sqlite');
    expect((await request(test.app).patch('/files/abc?x=1').send('{')).text).toBe(
      'uploads PATCH /files/abc?x=1',
    );
    expect((await request(test.app).post('/files')).text).toBe('uploads POST /files');
    expect((await request(test.app).options('/files')).text).toBe('uploads OPTIONS /files');
  });
});

describe('events', () => {
  it('reach those they belong to', async () => {
    test = await openTestApp('sqlite');
    const media = await makeMedia(test.ctx);
    const server = test.app.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const leave = new AbortController();
    const open = (path: string, who: keyof TestApp['as']) =>
      fetch(`http://127.0.0.1:${port}${path}`, { headers: test.as[who], signal: leave.signal });
    const streams = [
      await open('/api/events', 'ann'),
      await open(`/api/media/${media.id}/events`, 'ann'),
      await open('/api/events', 'admin'),
    ];
    await transact(test.ctx.db, async (trx) => {
      emit(trx, { type: 'media.updated', owner: 'bob', mediaId: null, payload: { title: 'Bob’s' } });
      emit(trx, { type: 'media.updated', owner: 'ann', mediaId: media.id, payload: { title: 'Ann’s' } });
    });
    for (const stream of streams) {
      expect(stream.headers.get('content-type')).toMatch(/^text\/event-stream/);
      const seen = await readUntil(stream, 'Ann’s');
      expect(seen.includes('Bob’s')).toBe(stream === streams[2]);
      const data = /^data: (.*Ann’s.*)$/m.exec(seen)?.[1] ?? '';
      expect(JSON.parse(data)).toEqual({
        type: 'media.updated',
        mediaId: media.id,
        jobId: null,
        createdAt: A_STRING,
        payload: { title: 'Ann’s' },
      });
    }
    leave.abort();
    await new Promise((resolve) => server.close(resolve));
  });

  it('stop soon after the key was revoked', async () => {
    test = await openTestApp('sqlite');
    const feed = createFeed(test.ctx.db);
    const access = createAccess(createAuthenticator(test.ctx));
    const server = express()
      .use(eventRoutes(test.ctx, access, feed, 10))
      .listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const stream = await fetch(`http://127.0.0.1:${port}/events`, { headers: test.as.ann });
    await test.ctx.db.updateTable('apiKey').set({ revokedAt: 1 }).where('owner', '=', 'ann').execute();
    await stream.text(); // ends
    feed.close();
    await new Promise((resolve) => server.close(resolve));
  });

  async function readUntil(response: Response, word: string): Promise<string> {
    let text = '';
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      if (text.includes(word) && text.endsWith('\n\n')) break;
    }
    return text;
  }
});
