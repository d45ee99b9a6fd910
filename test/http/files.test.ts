/** `GET /files/{id}`: complete uploads for their owner. */
import request from 'supertest';
import type { UploadRow } from '../../db/schema.ts';
import { transact } from '../../db/transaction.ts';
import { insertUpload } from '../../server/uploads/ledger/ledger.ts';
import { makeMedia, openTestApp, type TestApp } from './app.ts';

let test: TestApp;
beforeAll(async () => (test = await openTestApp('sqlite')));
afterAll(() => test.close());

const bytes = Buffer.from('0123456789');

/** An upload of these bytes, and its media. */
async function upload(columns: Partial<UploadRow> = {}): Promise<string> {
  const status = columns.state === 'receiving' ? 'uploading' : 'ready';
  const { id } = await makeMedia(test.ctx, { status });
  const key = `media/${id}/source`;
  await test.ctx.storage.put(key, bytes);
  await transact(test.ctx.db, (trx) =>
    insertUpload(trx, {
      ...{ id, mediaId: id, owner: 'ann', kind: 'single', length: 10, metadata: null, key },
      ...{ idempotencyKey: null, expiresAt: null, state: 'complete', ...columns },
    }),
  );
  return id;
}

const get = (id: string, headers: Record<string, string> = {}, who: keyof TestApp['as'] = 'ann') =>
  request(test.app).get(`/files/${id}`).set(test.as[who]).set(headers).buffer();

it('answers the bytes, ranges of them, and 304', async () => {
  const id = await upload();
  const whole = await get(id);
  expect([whole.status, whole.body]).toEqual([200, bytes]);
  expect(whole.headers).toMatchObject({
    'content-type': 'application/octet-stream',
    'accept-ranges': 'bytes',
    'content-disposition': expect.stringMatching(/^attachment/) as unknown,
    'cache-control': 'private, no-cache',
  });
  const etag = whole.headers['etag'] ?? '';
  const part = await get(id, { Range: 'bytes=2-4', 'If-Range': etag });
  expect([part.status, part.body, part.headers['content-range']]).toEqual([
    206,
    Buffer.from('234'),
    'bytes 2-4/10',
  ]);
  expect((await get(id, { Range: 'bytes=2-4', 'If-Range': '"other"' })).status).toBe(200);
  expect((await get(id, { 'If-None-Match': etag })).status).toBe(304);
  expect((await get(id, { Range: 'bytes=10-' })).status).toBe(416);
});

it('tells the digests that it knows', async () => {
  const digest = 'sha-256=:hNiYd/Dtg8pcmHsGFYkNsVYDfMmOhfB7dzgwmPSWAX4=:';
  const id = await upload({ digest });
  const wish = { 'Want-Content-Digest': 'sha-256=1' };
  expect((await get(id)).headers).toMatchObject({ 'repr-digest': digest });
  expect((await get(id)).headers['content-digest']).toBeUndefined();
  expect((await get(id, wish)).headers).toMatchObject({ 'repr-digest': digest, 'content-digest': digest });
  const part = (await get(id, { ...wish, Range: 'bytes=2-4' })).headers;
  expect([part['repr-digest'], part['content-digest']]).toEqual([digest, undefined]);
  expect((await get(await upload(), wish)).headers['repr-digest']).toBeUndefined();
});

it('answers nobody else, and nothing that is not complete', async () => {
  expect((await get(await upload(), {}, 'bob')).status).toBe(404);
  expect((await get('nope')).status).toBe(404);
  expect((await request(test.app).get(`/files/${await upload()}`)).status).toBe(401);
  const unfinished = await get(await upload({ state: 'receiving' }));
  expect(unfinished.status).toBe(409);
  expect((await get(await upload({ state: 'terminated' }))).status).toBe(410);
  expect((await get(await upload({ kind: 'partial' }))).status).toBe(409);
});

it('leaves HEAD, the draft and overridden verbs to the upload engine', async () => {
  const id = await upload();
  const head = await request(test.app).head(`/files/${id}`).set(test.as.ann);
  expect(head.headers['accept-ranges']).toBeUndefined();
  const theirs: Record<string, string>[] = [
    { 'Upload-Draft-Interop-Version': '8' },
    { 'X-HTTP-Method-Override': 'DELETE' },
  ];
  const preflight = { Origin: 'https://a.example', 'Access-Control-Request-Method': 'PATCH' };
  const asked = await request(test.app).options(`/files/${id}`).set(preflight);
  expect(asked.text).toBe(`uploads OPTIONS /files/${id}`);
  for (const headers of theirs) expect((await get(id, headers)).text).toBe(`uploads GET /files/${id}`);
});
