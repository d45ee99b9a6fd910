/** Digests of bodies and of whole objects: what was disproved was never there. On disk and on a real S3 server. */
import { createHash, randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { createUpload, offsetOf, patch, sha256, STORAGES, tus, useEngine } from './harness.ts';
import { startPatch } from './requests.ts';

const MiB = 1024 * 1024;
const hash = (algorithm: string, bytes: Buffer) => createHash(algorithm).update(bytes).digest('base64');

describe.each(STORAGES)('digests on %s', (storage) => {
  const stage = useEngine(storage);
  const bytes = randomBytes(18 * MiB + 5);

  it('says which algorithms it takes', async () => {
    const { headers } = await tus('OPTIONS', stage.engine.url);
    expect(headers.get('tus-checksum-algorithm')).toBe('sha1,sha256,sha512,md5,crc32');
    expect(headers.get('tus-extension')).toMatch(/checksum,checksum-trailer/);
  });

  it.each([[100], [9 * MiB]])(
    'keeps what matches, and nothing of what does not, from byte %i on',
    async (at) => {
      const { url, id } = await createUpload(stage.engine, bytes.length);
      await patch(url, 0, bytes.subarray(0, at));
      const body = bytes.subarray(at);
      const wrong = Buffer.from(body).fill(0, body.length - 1);
      for (const [sent, headers, status, code] of [
        [wrong, { 'Upload-Checksum': `sha1 ${hash('sha1', body)}` }, 460, 'checksum_mismatch'],
        [wrong, { 'Content-Digest': `sha-256=:${hash('sha256', body)}:` }, 400, 'digest_mismatch'],
        [body, { 'Upload-Checksum': `none ${hash('sha1', body)}` }, 400, 'checksum_unsupported'],
      ] as const) {
        const answer = await patch(url, at, sent, headers);
        expect([answer.status, answer.code]).toEqual([status, code]);
        expect(offsetOf(await tus('HEAD', url))).toBe(at);
      }
      const half = body.subarray(0, 8 * MiB + 1);
      const first = await patch(url, at, half, { 'Upload-Checksum': `md5 ${hash('md5', half)}` });
      expect([first.status, offsetOf(first)]).toEqual([204, at + half.length]);
      const rest = body.subarray(half.length);
      const last = await patch(url, at + half.length, rest, {
        'Content-Digest': `sha-512=:${hash('sha512', rest)}:`,
      });
      expect(last.status).toBe(204);
      expect(await stage.engine.digest(id)).toBe(sha256(bytes));
      expect(stage.engine.finished.filter((done) => done === id)).toHaveLength(1);
    },
  );

  it('keeps nothing of a body with a checksum whose connection broke', async () => {
    const { url, id } = await createUpload(stage.engine, bytes.length);
    await patch(url, 0, bytes.subarray(0, 5));
    const socket = await startPatch(stage.engine.port, id, 5, bytes.length, bytes.subarray(5, 17 * MiB), {
      'Upload-Checksum': `sha1 ${hash('sha1', bytes.subarray(5))}`,
    });
    socket.end();
    expect(offsetOf(await tus('HEAD', url))).toBe(5);
    expect((await patch(url, 5, bytes.subarray(5))).status).toBe(204);
    expect(await stage.engine.digest(id)).toBe(sha256(bytes));
  });

  it('takes the checksum of a creation with bytes, and of a trailer', async () => {
    const body = bytes.subarray(0, 1000);
    const refused = await tus(
      'POST',
      stage.engine.url,
      { 'Upload-Length': '1000', 'Upload-Checksum': `md5 ${hash('md5', bytes)}` },
      body,
    );
    expect(refused.status).toBe(460);
    for (const [sum, status] of [
      [hash('sha256', bytes), 460],
      [hash('sha256', body), 204],
    ] as const) {
      const { url, id } = await createUpload(stage.engine, 1000);
      expect(await patchWithTrailer(url, body, `sha256 ${sum}`)).toBe(status);
      expect((await stage.engine.row(id)).offset).toBe(status === 204 ? 1000 : 0);
    }
  });

  it('completes what is what it was said to be, and fails what is not', async () => {
    const good = await createUpload(stage.engine, bytes.length, {
      'Repr-Digest': `sha-256=:${hash('sha256', bytes)}:`,
    });
    expect((await patch(good.url, 0, bytes)).status).toBe(204);
    expect((await stage.engine.media(good.id)).status).toBe('processing');

    const bad = await createUpload(stage.engine, bytes.length, {
      'Repr-Digest': `sha-512=:${hash('sha512', Buffer.alloc(1))}:`,
    });
    await patch(bad.url, 0, bytes.subarray(0, 9 * MiB));
    const answer = await patch(bad.url, 9 * MiB, bytes.subarray(9 * MiB));
    expect([answer.status, answer.code]).toEqual([400, 'digest_mismatch']);
    expect(await stage.engine.media(bad.id)).toMatchObject({
      status: 'failed',
      errorCode: 'digest_mismatch',
    });
    expect((await stage.engine.row(bad.id)).state).toBe('terminated');
    expect(await stage.engine.digest(bad.id)).toBeUndefined();
    expect((await tus('HEAD', bad.url)).status).toBe(410);
    expect(stage.engine.finished).not.toContain(bad.id);

    expect((await tus('HEAD', good.url)).headers.get('repr-digest')).toBe(
      `sha-256=:${hash('sha256', bytes)}:`,
    );
    const malformed = await tus('POST', stage.engine.url, { 'Upload-Length': '1', 'Repr-Digest': 'sha-256' });
    expect([malformed.status, malformed.code]).toEqual([400, 'digest_invalid']);
  });

  it('tells the digest that was wanted with the creation, once all is there', async () => {
    const wish = { 'Want-Repr-Digest': 'md5=1, sha-256=10' };
    const whole = `sha-256=:${hash('sha256', bytes)}:`;
    const { url, id } = await createUpload(stage.engine, bytes.length, wish);
    const first = await patch(url, 0, bytes.subarray(0, 9 * MiB));
    expect([first.status, first.headers.get('repr-digest')]).toEqual([204, null]);
    expect((await tus('HEAD', url)).headers.get('repr-digest')).toBeNull();
    const last = await patch(url, 9 * MiB, bytes.subarray(9 * MiB));
    expect([last.status, last.headers.get('repr-digest')]).toEqual([204, whole]);
    expect((await tus('HEAD', url)).headers.get('repr-digest')).toBe(whole);
    expect(stage.engine.finished.filter((done) => done === id)).toHaveLength(1);

    const draft = await tus(
      'POST',
      stage.engine.url,
      { ...wish, 'Tus-Resumable': undefined, 'Upload-Complete': '?1' },
      bytes,
    );
    expect([draft.status, draft.headers.get('repr-digest')]).toEqual([201, whole]);
  });
});

/** The status of a chunked PATCH from the beginning, with the checksum behind the body. */
function patchWithTrailer(url: string, body: Buffer, checksum: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const sent = request(url, {
      method: 'PATCH',
      headers: {
        'Tus-Resumable': '1.0.0',
        Authorization: 'Bearer alice',
        'Content-Type': 'application/offset+octet-stream',
        'Upload-Offset': '0',
        'Transfer-Encoding': 'chunked',
        Trailer: 'Upload-Checksum',
      },
    });
    sent.on('response', (response) => resolve(response.resume().statusCode));
    sent.on('error', reject);
    sent.write(body);
    sent.addTrailers({ 'Upload-Checksum': checksum });
    sent.end();
  });
}
