/** What both stores promise: the same suite on disk and on a real S3 server. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../server.ts';
import {
  idOf,
  createUpload,
  keysOf,
  offsetOf,
  patch,
  sha256,
  startEngine,
  STORAGES,
  tus,
  useEngine,
} from './harness.ts';
import { startPatch } from './requests.ts';

const MiB = 1024 * 1024;

describe.each(STORAGES)('upload store on %s', (storage) => {
  // Parts of an upload whose length nobody knows yet are of 11 MiB, so that 100 GB fit; else of 8 MiB.
  const stage = useEngine(storage, { env: { UPLOAD_MAX_SIZE: '100GB' } });
  const bytes = randomBytes(21 * MiB + 12_345);
  const stored = (id: string): Promise<string[]> => keysOf(stage.engine, id);

  it('stores one PATCH bit for bit', async () => {
    const { url, id } = await createUpload(stage.engine, bytes.length);
    const answer = await patch(url, 0, bytes);
    expect(answer.status).toBe(204);
    expect(offsetOf(answer)).toBe(bytes.length);
    expect(await stage.engine.digest(id)).toBe(sha256(bytes));
    expect(await stage.engine.row(id)).toMatchObject({
      state: 'complete',
      offset: bytes.length,
      expiresAt: null,
    });
    expect(await stored(id)).toEqual([`media/${id}/source`]);
    expect(stage.engine.finished.filter((done) => done === id)).toHaveLength(1);
  });

  it.each([1, 1_000_003, 5 * MiB, 8 * MiB, 8 * MiB + 1, 20 * MiB])(
    'stores PATCHes of %i bytes bit for bit',
    async (size) => {
      const length = size === 1 ? 70 : bytes.length;
      const { url, id } = await createUpload(stage.engine, length);
      for (let offset = 0; offset < length; offset += size) {
        const answer = await patch(url, offset, bytes.subarray(offset, Math.min(offset + size, length)));
        expect([answer.status, offsetOf(answer)]).toEqual([204, Math.min(offset + size, length)]);
      }
      expect(await stage.engine.digest(id)).toBe(sha256(bytes.subarray(0, length)));
      expect(await stored(id)).toEqual([`media/${id}/source`]);
    },
    120_000,
  );

  it('stores many uploads at once, none in the place of another', async () => {
    const opened = await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const all = bytes.subarray(i * 1009, i * 1009 + 3 * MiB);
        return { all, ...(await createUpload(stage.engine, all.length)) };
      }),
    );
    const answers = await Promise.all(opened.map(({ url, all }) => patch(url, 0, all)));
    expect(answers.filter(({ status }) => status !== 204)).toEqual([]);
    for (const { id, all } of opened) expect(await stage.engine.digest(id)).toBe(sha256(all));
  });

  it('stores bytes that come with the creation', async () => {
    const answer = await tus('POST', stage.engine.url, { 'Upload-Length': '1000' }, bytes.subarray(0, 1000));
    const id = idOf(answer.headers.get('location'));
    expect([answer.status, offsetOf(answer)]).toEqual([201, 1000]);
    expect(await stage.engine.digest(id)).toBe(sha256(bytes.subarray(0, 1000)));
  });

  it('finishes an upload of no bytes', async () => {
    const { url, id } = await createUpload(stage.engine, 0);
    expect(await stage.engine.row(id)).toMatchObject({ state: 'complete' });
    expect(await stage.engine.digest(id)).toBe(sha256(Buffer.alloc(0)));
    expect(offsetOf(await tus('HEAD', url))).toBe(0);
  });

  it.each([9 * MiB, 12 * MiB])('takes the length later, after %i bytes', async (first) => {
    const { headers } = await tus('POST', stage.engine.url, { 'Upload-Defer-Length': '1' });
    const url = headers.get('location') ?? '';
    const id = idOf(url);
    expect((await patch(url, 0, bytes.subarray(0, first))).status).toBe(204);
    const head = await tus('HEAD', url);
    expect([head.headers.get('upload-defer-length'), offsetOf(head)]).toEqual(['1', first]);
    const last = await patch(url, first, bytes.subarray(first), {
      'Upload-Length': String(bytes.length),
    });
    expect(last.status).toBe(204);
    expect(await stage.engine.digest(id)).toBe(sha256(bytes));
  });

  it('takes the length of a deferred upload with an empty PATCH at its end', async () => {
    const { headers } = await tus('POST', stage.engine.url, { 'Upload-Defer-Length': '1' });
    const url = headers.get('location') ?? '';
    await patch(url, 0, bytes.subarray(0, 1000));
    const answer = await patch(url, 1000, Buffer.alloc(0), { 'Upload-Length': '1000' });
    expect(answer.status).toBe(204);
    expect((await stage.engine.row(idOf(url))).state).toBe('complete');
  });

  it.each([
    ['a part', 9 * MiB],
    ['nothing', 0],
  ])('takes that length when small PATCHes follow %s', async (_what, first) => {
    const { headers } = await tus('POST', stage.engine.url, { 'Upload-Defer-Length': '1' });
    const url = headers.get('location') ?? '';
    const length = first + 3000;
    if (first) await patch(url, 0, bytes.subarray(0, first));
    for (let offset = first; offset < length; offset += 1000)
      await patch(url, offset, bytes.subarray(offset, offset + 1000));
    const answer = await patch(url, length, Buffer.alloc(0), { 'Upload-Length': String(length) });
    expect(answer.status).toBe(204);
    const id = idOf(url);
    expect(await stage.engine.digest(id)).toBe(sha256(bytes.subarray(0, length)));
    expect(await stored(id)).toEqual([`media/${id}/source`]);
  });

  it('keeps what arrived before the connection was cut', async () => {
    const { url, id } = await createUpload(stage.engine, bytes.length);
    const sent = 12 * MiB + 777;
    await cutPatch(stage.engine.port, id, 0, bytes.length, bytes.subarray(0, sent));
    const kept = offsetOf(await tus('HEAD', url));
    // What Node still held for a store that was busy goes with the connection; it was never acknowledged.
    expect(kept).toBeGreaterThan(sent - MiB / 8);
    expect(kept).toBeLessThanOrEqual(sent);
    expect((await patch(url, kept, bytes.subarray(kept))).status).toBe(204);
    expect(await stage.engine.digest(id)).toBe(sha256(bytes));
  });

  it('keeps nothing beyond the length', async () => {
    const { url, id } = await createUpload(stage.engine, 100);
    const known = await patch(url, 0, bytes.subarray(0, 101));
    expect([known.status, known.code]).toEqual([413, 'upload_too_large']);
    const chunked = await patch(url, 0, new Blob([bytes.subarray(0, 101)]).stream());
    expect([chunked.status, chunked.code]).toEqual([413, 'upload_too_large']);
    expect(await stage.engine.digest(id)).toBe(sha256(bytes.subarray(0, 100)));
  });

  it('leaves nothing of a terminated upload, and says that it is gone', async () => {
    const { url, id } = await createUpload(stage.engine, bytes.length);
    await patch(url, 0, bytes.subarray(0, 9 * MiB));
    expect((await tus('DELETE', url)).status).toBe(204);
    expect(await stored(id)).toEqual([]);
    expect((await stage.engine.media(id)).status).toBe('cancelled');
    for (const method of ['HEAD', 'DELETE']) expect((await tus(method, url)).status).toBe(410);
    expect((await patch(url, 9 * MiB, bytes.subarray(0, 1))).code).toBe('upload_gone');
    await stage.engine.uploads.discard(id);
  });

  it('deletes the media of a terminated upload that was finished', async () => {
    const { url, id } = await createUpload(stage.engine, 10);
    await patch(url, 0, bytes.subarray(0, 10));
    expect((await tus('DELETE', url)).status).toBe(204);
    expect((await stage.engine.media(id)).deletedAt).not.toBeNull();
    expect((await tus('HEAD', url)).status).toBe(410);
  });

  it('cuts a running PATCH when its upload is terminated', async () => {
    const { url, id } = await createUpload(stage.engine, bytes.length);
    const socket = await startPatch(stage.engine.port, id, 0, bytes.length, bytes.subarray(0, 3 * MiB));
    await eventually(async () => await locked(id));
    expect((await tus('DELETE', url)).status).toBe(204);
    socket.destroy();
    expect(await stored(id)).toEqual([]);
  });

  it('expires what nobody goes on with', async () => {
    const { url, id } = await createUpload(stage.engine, bytes.length);
    await patch(url, 0, bytes.subarray(0, 9 * MiB));
    await stage.engine.db
      .updateTable('upload')
      .set({ expiresAt: Date.now() - 1 })
      .where('id', '=', id)
      .execute();
    expect((await tus('HEAD', url)).status).toBe(410);
    await stage.engine.uploads.sweep();
    expect((await stage.engine.row(id)).state).toBe('expired');
    expect((await stage.engine.media(id)).status).toBe('cancelled');
    expect(await stored(id)).toEqual([]);
    expect((await patch(url, 9 * MiB, bytes.subarray(9 * MiB))).code).toBe('upload_gone');
  });

  it.each(['HEAD', 'sweep', 'PATCH'])(
    'finishes by %s what a crash left between last byte and finish',
    async (by) => {
      const { url, id } = await createUpload(stage.engine, 9 * MiB);
      await patch(url, 0, bytes.subarray(0, 8 * MiB));
      const refuse = await startEngine(stage.ground, {
        hooks: { finish: () => Promise.reject(new Error('the process dies here')) },
      });
      const crashed = await patch(
        url.replace(stage.engine.url, refuse.url),
        8 * MiB,
        bytes.subarray(8 * MiB, 9 * MiB),
      );
      expect(crashed.status).toBe(503);
      await refuse.close();
      expect((await stage.engine.row(id)).state).toBe('assembling');
      expect((await stage.engine.media(id)).status).toBe('uploading');

      if (by === 'sweep') await stage.engine.uploads.sweep();
      else if (by === 'HEAD') expect(offsetOf(await tus('HEAD', url))).toBe(9 * MiB);
      else expect((await patch(url, 9 * MiB, Buffer.alloc(0))).status).toBe(204);
      expect((await stage.engine.media(id)).status).toBe('processing');
      expect(await stage.engine.digest(id)).toBe(sha256(bytes.subarray(0, 9 * MiB)));
      expect(stage.engine.finished.filter((done) => done === id)).toHaveLength(1);
      await stage.engine.uploads.sweep();
      expect((await patch(url, 9 * MiB, Buffer.alloc(0))).status).toBe(204);
      expect(stage.engine.finished.filter((done) => done === id)).toHaveLength(1);
    },
  );

  async function locked(id: string): Promise<boolean> {
    const row = await stage.engine.db
      .selectFrom('uploadLock')
      .selectAll()
      .where('uploadId', '=', id)
      .executeTakeFirst();
    return row !== undefined;
  }
});

/** Sends a PATCH and closes the connection after what was sent. */
async function cutPatch(
  port: number,
  id: string,
  offset: number,
  length: number,
  body: Buffer,
): Promise<void> {
  const socket = await startPatch(port, id, offset, length, body);
  const closed = once(socket, 'close');
  socket.end();
  socket.resume();
  await Promise.race([closed, sleep(5_000, undefined, { ref: false })]);
  socket.destroy();
}
