import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import request, { type Response } from 'supertest';
import type { MediaRow } from '../../db/schema.ts';
import { playbackToken } from '../../server/auth/signed-urls.ts';
import { withToken } from '../../server/http/send-playlist.ts';
import {
  A_STRING,
  type Answer,
  askRaw,
  codeOf,
  HLS_FILES,
  makeMedia,
  makeOutputs,
  openTestApp,
  streamOf,
  type TestApp,
} from './app.ts';

const SEGMENT = '360p/seg-00001.m4s';
const bytes = HLS_FILES[SEGMENT] ?? Buffer.alloc(0);

describe('/media/{id}', () => {
  let test: TestApp;
  let open: MediaRow;
  let closed: MediaRow;
  beforeAll(async () => {
    test = await openTestApp('sqlite', { CORS_ORIGINS: '*' });
    open = await makeMedia(test.ctx, { status: 'ready', visibility: 'public' });
    closed = await makeMedia(test.ctx, { status: 'ready' });
    await makeOutputs(test.ctx, open);
    await makeOutputs(test.ctx, closed);
  });
  afterAll(() => test.close());

  const url = (media: MediaRow, file: string) =>
    `/media/${media.id}/${file.replace('hls/360p', `hls/${streamOf(media)}/360p`)}`;
  const get = (file: string, headers: Record<string, string> = {}) =>
    request(test.app).get(url(open, file)).set(headers).buffer(true).parse(collect);

  it('plays for anyone when it is public or unlisted', async () => {
    const unlisted = await makeMedia(test.ctx, { visibility: 'unlisted' });
    await makeOutputs(test.ctx, unlisted);
    for (const media of [open, unlisted])
      expect((await request(test.app).get(url(media, 'hls/index.m3u8'))).status).toBe(200);
    // Credentials that are worth nothing do no harm where none are needed.
    const stale = { Cookie: 'millrace_session=a.b.c' };
    expect((await request(test.app).get(url(open, 'hls/index.m3u8')).set(stale)).status).toBe(200);
  });

  it.each([
    ['hls/index.m3u8', 'application/vnd.apple.mpegurl', 'public, max-age=60'],
    ['hls/360p/init.mp4', 'video/mp4', 'public, max-age=31536000, immutable'],
    [`hls/${SEGMENT}`, 'video/mp4', 'public, max-age=31536000, immutable'],
    ['poster.jpg', 'image/jpeg', 'public, max-age=60'],
    ['poster.webp', 'image/webp', 'public, max-age=60'],
  ])('serves %s as what it is', async (file, type, caching) => {
    const { status, headers } = await get(file);
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'content-type': type,
      'cache-control': caching,
      'access-control-allow-origin': '*',
      'cross-origin-resource-policy': 'cross-origin',
      'x-content-type-options': 'nosniff',
    });
    expect(headers.etag).toMatch(/^"[^"]+"$/);
  });

  it.each([
    ['bytes=0-9', 0, 9],
    ['bytes=990-', 990, 999],
    ['bytes=-10', 990, 999],
    ['bytes=500-5000', 500, 999],
    ['bytes=999-999', 999, 999],
  ])('answers the range %s', async (range, start, end) => {
    const { status, headers, body } = (await get(`hls/${SEGMENT}`, { Range: range })) as Answer;
    expect([status, headers['content-range']]).toEqual([206, `bytes ${start}-${end}/1000`]);
    expect(headers['content-length']).toBe(String(end - start + 1));
    expect(bytes.subarray(start, end + 1).equals(body as Buffer)).toBe(true);
  });

  it.each(['bytes=1000-', 'bytes=5000-6000', 'bytes=-0'])('refuses the range %s with 416', async (range) => {
    const { status, headers, body } = (await get(`hls/${SEGMENT}`, { Range: range })) as Answer;
    expect([status, headers['content-range']]).toEqual([416, 'bytes */1000']);
    expect(JSON.parse(String(body))).toMatchObject({ code: 'range_not_satisfiable', size: 1000 });
    expect(headers['cache-control']).toBe('no-store');
  });

  it.each(['bytes=0-9,20-29', 'bytes=9-0', 'bytes=a-b', 'lines=0-9', 'nonsense'])(
    'answers %s with the whole',
    async (range) => {
      const { status, headers, body } = (await get(`hls/${SEGMENT}`, { Range: range })) as Answer;
      expect([status, headers['accept-ranges'], headers['content-range']]).toEqual([200, 'bytes', undefined]);
      expect(bytes.equals(body as Buffer)).toBe(true);
    },
  );

  it('answers conditions', async () => {
    const file = `hls/${SEGMENT}`;
    const { etag = '', 'last-modified': modified = '' } = (await get(file)).headers as Record<string, string>;
    const fresh = await get(file, { 'If-None-Match': `"other", ${etag}` });
    expect([fresh.status, (fresh.body as Buffer).length, fresh.headers.etag]).toEqual([304, 0, etag]);
    expect((await get(file, { 'If-None-Match': '"other"' })).status).toBe(200);
    expect((await get(file, { 'If-Modified-Since': modified })).status).toBe(304);
    const Range = 'bytes=0-9';
    const statusOf = async (headers: Record<string, string>) => (await get(file, headers)).status;
    for (const tags of [etag, '*', `"other", ${etag}`])
      expect(await statusOf({ 'If-Match': tags })).toBe(200);
    for (const tags of ['"other"', `W/${etag}`])
      expect(await statusOf({ Range, 'If-Match': tags, 'If-None-Match': etag })).toBe(412);
    expect(await statusOf({ 'If-Unmodified-Since': modified })).toBe(200);
    expect(await statusOf({ 'If-Unmodified-Since': 'Sat, 01 Jan 2000 00:00:00 GMT' })).toBe(412);
    expect(await statusOf({ 'If-Unmodified-Since': 'yesterday' })).toBe(200);
    expect((await get(file, { Range, 'If-Range': etag })).status).toBe(206);
    expect((await get(file, { Range, 'If-Range': modified })).status).toBe(206);
    expect((await get(file, { Range, 'If-Range': '"other"' })).status).toBe(200);
    expect((await get(file, { Range, 'If-Range': `W/${etag}` })).status).toBe(200);
    expect((await get(file, { Range, 'If-Range': 'Sat, 01 Jan 2000 00:00:00 GMT' })).status).toBe(200);
  });

  it('answers HEAD with the same headers and nothing else', async () => {
    for (const file of [`hls/${SEGMENT}`, 'hls/index.m3u8']) {
      const plain = { 'Accept-Encoding': 'identity' };
      const whole = await get(file, plain);
      const head = await request(test.app).head(url(open, file)).set(plain);
      expect(head.status).toBe(200);
      for (const name of ['content-type', 'content-length', 'etag', 'cache-control'])
        expect(head.headers[name]).toBe(whole.headers[name]);
    }
  });

  it('gzips playlists, not segments', async () => {
    const raw = (file: string, coding: string) =>
      askRaw(test.app, url(open, file), { 'Accept-Encoding': coding });
    const zipped = await raw('hls/index.m3u8', 'gzip, br');
    expect(zipped.headers).toMatchObject({ 'content-encoding': 'gzip', vary: 'Accept-Encoding' });
    const plain = await raw('hls/index.m3u8', 'identity');
    expect(gunzipSync(zipped.body)).toEqual(plain.body);
    expect(plain.headers['content-encoding']).toBeUndefined();
    expect(plain.headers.etag).not.toBe(zipped.headers.etag);
    expect((await raw(`hls/${SEGMENT}`, 'gzip')).headers['content-encoding']).toBeUndefined();
    const fresh = await get('hls/index.m3u8', {
      'Accept-Encoding': 'gzip',
      'If-None-Match': String(zipped.headers.etag),
    });
    expect(fresh.status).toBe(304);
  });

  it.each([
    'hls/',
    'hls/other.m3u8',
    'hls/index.html',
    'hls/360p',
    'hls/..%2f..%2fsource',
    'hls/%2e%2e/%2e%2e/source',
    'hls/../../source',
    'hls/360p/..%2findex.m3u8',
    'hls/a/b/c/d/e.m4s',
    'hls/.m4s',
    'hls/seg%00.m4s',
    'hls/index.m3u8%20',
    'hls/%5c..%5csource.mp4',
    'poster.png',
    'index.m3u8',
  ])('does not know %s', async (file) => {
    expect((await askRaw(test.app, url(open, file))).status).toBe(404);
  });

  it('answers preflights, and says what scripts of other origins may read', async () => {
    const preflight = await request(test.app)
      .options(url(open, `hls/${SEGMENT}`))
      .set({
        Origin: 'https://player.test',
        'Access-Control-Request-Method': 'GET',
        'Access-Control-Request-Headers': 'range',
      });
    expect(preflight.status).toBe(204);
    expect(preflight.headers).toMatchObject({
      'access-control-allow-origin': '*',
      'access-control-allow-methods': 'GET, HEAD',
      'access-control-allow-headers': expect.stringContaining('Range') as unknown,
    });
    expect((await get('poster.jpg')).headers['access-control-expose-headers']).toContain('Content-Range');
  });

  it('lets only the configured origins in', async () => {
    const strict = await openTestApp('sqlite', { CORS_ORIGINS: 'https://a.test, https://b.test' });
    const allowed = async (Origin: string) =>
      (await request(strict.app).get('/api/me').set({ Origin })).headers[
        'access-control-allow-origin'
      ] as unknown;
    expect(await allowed('https://b.test')).toBe('https://b.test');
    expect(await allowed('https://evil.test')).toBeUndefined();
    await strict.close();
  });

  describe('when it is private', () => {
    const tokenFor = (media: MediaRow, now?: number) =>
      playbackToken(test.ctx.secret, media.id, 3_600_000, now);
    const ask = (query: string, file = 'hls/index.m3u8') => request(test.app).get(url(closed, file) + query);

    it('plays for its owner and admins, and is not kept by shared caches', async () => {
      for (const who of ['ann', 'admin', 'annReads'] as const) {
        const { status, headers, text } = await ask('').set(test.as[who]);
        expect([status, headers['cache-control']]).toEqual([200, 'private, max-age=60']);
        expect(text).not.toContain('token');
      }
    });

    it('plays with the address that the API gives, in any player', async () => {
      const { body } = (await request(test.app).get(`/api/media/${closed.id}`).set(test.as.ann)) as Answer;
      let address = (body as { playback: { hls: string } }).playback.hls;
      for (const next of [/^s-.*360p.*$/m, /^seg.*$/m]) {
        const { status, text } = await request(test.app).get(address);
        expect(status).toBe(200);
        const line = next.exec(text)?.[0] ?? '';
        expect(line).toContain('?token=');
        address = new URL(line, new URL(address, 'http://x')).href.replace('http://x', '');
      }
      const segment = await request(test.app)
        .get(address)
        .set('Range', 'bytes=0-9')
        .buffer(true)
        .parse(collect);
      expect([segment.status, segment.headers['cache-control']]).toEqual([
        206,
        'private, max-age=31536000, immutable',
      ]);
      const poster = (body as { playback: { poster: string } }).playback.poster;
      expect((await request(test.app).get(poster)).status).toBe(200);
    });

    it.each<[string, () => string, number, string]>([
      ['no token', () => '', 401, 'unauthorized'],
      ['one for another media', () => `?token=${tokenFor(open)}`, 401, 'unauthorized'],
      ['an expired one', () => `?token=${tokenFor(closed, Date.now() - 86_400_000)}`, 403, 'token_expired'],
      ['two', () => `?token=${tokenFor(closed)}&token=x`, 401, 'unauthorized'],
      ['garbage', () => '?token=%00', 401, 'unauthorized'],
    ])('does not play with %s', async (_, query, status, code) => {
      for (const file of ['hls/index.m3u8', `hls/${SEGMENT}`, 'poster.jpg']) {
        const answer = await ask(query(), file);
        expect([answer.status, codeOf(answer.body)]).toEqual([status, code]);
      }
    });

    it('gives the source to nobody by token', async () => {
      expect((await ask(`?token=${tokenFor(closed)}`, 'source')).status).toBe(401);
    });
  });

  it('gives the source to its owner as a download, never as a page', async () => {
    const media = await makeMedia(test.ctx, { visibility: 'public', filename: '../<b>"évil"\r\n.html' });
    await makeOutputs(test.ctx, media);
    expect((await request(test.app).get(url(media, 'source'))).status).toBe(401);
    expect((await request(test.app).get(url(media, 'source')).set(test.as.bob)).status).toBe(404);
    const { status, headers, body } = (await request(test.app)
      .get(url(media, 'source'))
      .set(test.as.ann)
      .set('Range', 'bytes=0-7')
      .buffer(true)
      .parse(collect)) as Answer;
    expect([status, String(body)]).toEqual([206, '<script>']);
    expect(headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'x-content-type-options': 'nosniff',
    });
    expect(headers['content-disposition']).toMatch(
      /^attachment; filename="[^\r\n/]*"; filename\*=UTF-8''[^\r\n/]*$/,
    );
    expect(headers['content-security-policy']).toContain("default-src 'none'");
  });

  it('tells a player page what it needs', async () => {
    expect((await request(test.app).get(`/api/media/${open.id}/playback`)).body).toEqual({
      id: open.id,
      title: 'A film',
      status: 'ready',
      visibility: 'public',
      createdAt: A_STRING,
      duration: null,
      playback: expect.objectContaining({ hls: `/media/${open.id}/hls/index.m3u8` }) as unknown,
    });
  });

  it('is 404 when the row is there but the object is gone', async () => {
    const media = await makeMedia(test.ctx, { visibility: 'public' });
    await makeOutputs(test.ctx, media);
    await test.ctx.storage.deletePrefix(`media/${media.id}/`);
    for (const file of ['hls/360p/index.m3u8', `hls/${SEGMENT}`, 'poster.jpg'])
      expect((await request(test.app).get(url(media, file))).status).toBe(404);
  });
});

describe('tokens in playlists', () => {
  it('go into every address of ours and into no other', () => {
    const playlist = [
      '#EXTM3U',
      '#EXT-X-MEDIA:TYPE=AUDIO,NAME="URI=\\"x\\"",URI="audio/index.m3u8",DEFAULT=YES',
      '#EXT-X-MAP:URI="init.mp4",BYTERANGE="1@0"',
      '#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI="iframes.m3u8?v=1"',
      '#EXT-X-KEY:METHOD=AES-128,URI="https://keys.test/k"',
      '# a comment',
      'seg-1.m4s\r',
      'https://cdn.test/seg-2.m4s',
      '//cdn.test/seg-3.m4s',
      '',
    ].join('\n');
    expect(withToken(playlist, 'T').split('\n')).toEqual([
      '#EXTM3U',
      '#EXT-X-MEDIA:TYPE=AUDIO,NAME="URI=\\"x\\"",URI="audio/index.m3u8?token=T",DEFAULT=YES',
      '#EXT-X-MAP:URI="init.mp4?token=T",BYTERANGE="1@0"',
      '#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI="iframes.m3u8?v=1&token=T"',
      '#EXT-X-KEY:METHOD=AES-128,URI="https://keys.test/k"',
      '# a comment',
      'seg-1.m4s?token=T\r',
      'https://cdn.test/seg-2.m4s',
      '//cdn.test/seg-3.m4s',
      '',
    ]);
  });
});

function collect(res: Response, done: (error: Error | null, body: Buffer) => void): void {
  const body = buffer(res as unknown as NodeJS.ReadableStream);
  body.then(
    (whole) => done(null, whole),
    (error: Error) => done(error, Buffer.alloc(0)),
  );
}
