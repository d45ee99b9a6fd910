/** Storage that lost bytes of an unfinished upload ends it; storage that is away does not. */
import { randomBytes } from 'node:crypto';
import { rename, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { S3Storage } from '../../server/storage/s3.ts';
import { Multipart } from '../../server/uploads/s3/multipart.ts';
import { eventually } from '../server.ts';
import {
  idOf,
  createUpload,
  finishesOf,
  keysOf,
  offsetOf,
  patch,
  sha256,
  STORAGES,
  tus,
  useEngine,
} from './harness.ts';
import { startPatch } from './requests.ts';

const MiB = 1024 * 1024;
const bytes = randomBytes(7 * MiB);
/** Two whole parts. */
const parts = randomBytes(10_000_000);
const ENGINE = { env: { UPLOAD_PART_SIZE: '5MB' }, uploads: { strayAfterMs: 0 } };

describe.each(STORAGES)('on %s', (storage) => {
  const stage = useEngine(storage, ENGINE);

  /** Behind the server's back. */
  async function lose(id: string): Promise<void> {
    const { engine } = stage;
    const keys = (await keysOf(engine, id)).filter((key) => !key.startsWith('media/'));
    expect(keys).not.toHaveLength(0);
    for (const key of keys) await engine.storage.delete(key);
  }

  async function expectLost(id: string): Promise<void> {
    const { engine } = stage;
    expect(await engine.media(id)).toMatchObject({ status: 'failed', errorCode: 'upload_lost' });
    expect(await keysOf(engine, id)).toEqual([]);
    expect(await finishesOf(engine, id)).toBe(0);
  }

  it('answers 410 once and for all, and the same creation begins anew', async () => {
    const { engine } = stage;
    const key = { 'Idempotency-Key': `lost on ${storage}` };
    const { url, id } = await createUpload(engine, 2000, key);
    await patch(url, 0, bytes.subarray(0, 1000));
    await lose(id);
    const answer = await patch(url, 1000, bytes.subarray(1000, 2000));
    expect([answer.status, answer.code]).toEqual([410, 'upload_lost']);
    for (const method of ['HEAD', 'DELETE']) expect((await tus(method, url)).status).toBe(410);
    await expectLost(id);

    const again = await createUpload(engine, 2000, key);
    expect(again.id).not.toBe(id);
    expect((await patch(again.url, 0, bytes.subarray(0, 2000))).status).toBe(204);
    expect(await engine.digest(again.id)).toBe(sha256(bytes.subarray(0, 2000)));
  });

  it.each([
    [6, 404],
    [8, 410],
  ])('a client of the draft, version %i, is answered %i', async (version, status) => {
    const { url, id } = await createUpload(stage.engine, 2000);
    await patch(url, 0, bytes.subarray(0, 1000));
    await lose(id);
    const fields = {
      ...{ 'Tus-Resumable': undefined, 'Upload-Draft-Interop-Version': String(version) },
      ...{ 'Upload-Offset': '1000', 'Upload-Complete': '?1', 'Content-Type': 'application/partial-upload' },
    };
    const answer = await tus('PATCH', url, fields, bytes.subarray(1000, 2000));
    expect([answer.status, answer.code]).toEqual([status, 'upload_lost']);
    await expectLost(id);
  });

  it('notices it when the upload is put in its place', async () => {
    const { engine } = stage;
    const { headers } = await tus('POST', engine.url, { 'Upload-Defer-Length': '1' });
    const url = headers.get('location') ?? '';
    const id = idOf(url);
    await patch(url, 0, bytes.subarray(0, 1000));
    await engine.db.updateTable('upload').set({ length: 1000 }).where('id', '=', id).execute();
    await lose(id);
    expect((await tus('HEAD', url)).status).toBe(410);
    await expectLost(id);
  });

  it('ends a final upload when a partial is gone, and the other partials with its media', async () => {
    const { engine } = stage;
    const partials = [];
    for (const part of [0, 1]) {
      const partial = await createUpload(engine, 1000, { 'Upload-Concat': 'partial' });
      if (part === 0) await patch(partial.url, 0, bytes.subarray(0, 1000));
      partials.push(partial);
    }
    const concat = `final;${partials.map(({ url }) => url).join(' ')}`;
    const final = await tus('POST', engine.url, { 'Upload-Concat': concat });
    const finalUrl = final.headers.get('location') ?? '';
    const id = idOf(finalUrl);
    await lose(partials[0]?.id ?? '');
    await patch(partials[1]?.url ?? '', 0, bytes.subarray(0, 1000));
    expect((await tus('HEAD', finalUrl)).status).toBe(410);
    expect(await engine.media(id)).toMatchObject({ status: 'failed', errorCode: 'upload_lost' });
    await engine.uploads.discard(id); // the job that its end added
    expect(await keysOf(engine, id, ...partials.map((partial) => partial.id))).toEqual([]);
  });
});

describe('on disk', () => {
  const stage = useEngine('disk');

  it('a file that is too short is lost, one that is too long is cut', async () => {
    const { engine } = stage;
    const sizes = [999, 1001];
    const outcomes = [];
    for (const size of sizes) {
      const { url, id } = await createUpload(engine, 2000);
      await patch(url, 0, bytes.subarray(0, 1000));
      await truncate(join(engine.config.dataDir, 'incoming', id), size);
      const { status } = await patch(url, 1000, bytes.subarray(1000, 2000));
      outcomes.push([status, await engine.digest(id)]);
    }
    expect(outcomes).toEqual([
      [410, undefined],
      [204, sha256(bytes.subarray(0, 2000))],
    ]);
  });

  it('bytes that were never promised are no part of an upload whose end is told later', async () => {
    const { engine } = stage;
    const draft = { 'Tus-Resumable': undefined, 'Upload-Draft-Interop-Version': '8' };
    const append = { ...draft, 'Upload-Offset': '1000', 'Content-Type': 'application/partial-upload' };
    const created = await tus(
      'POST',
      engine.url,
      { ...draft, 'Upload-Complete': '?0' },
      bytes.subarray(0, 1000),
    );
    const url = created.headers.get('location') ?? '';
    const wrong = { ...append, 'Upload-Complete': '?0', 'Content-Digest': `sha-256=:${'A'.repeat(43)}=:` };
    expect((await tus('PATCH', url, wrong, bytes.subarray(1000, 2000))).code).toBe('digest_mismatch');
    const end = await tus('PATCH', url, { ...append, 'Upload-Complete': '?1' }, Buffer.alloc(0));
    expect(end.status).toBe(201);
    expect(await engine.digest(idOf(url))).toBe(sha256(bytes.subarray(0, 1000)));
  });

  it('an upload survives a disk that is not mounted', async () => {
    const { engine } = stage;
    const { url, id } = await createUpload(engine, 2000);
    await patch(url, 0, bytes.subarray(0, 1000));
    const incoming = join(engine.config.dataDir, 'incoming');
    await rename(incoming, `${incoming}.away`);
    expect((await patch(url, 1000, bytes.subarray(1000, 2000))).status).toBe(503);
    await rm(incoming, { recursive: true, force: true });
    await rename(`${incoming}.away`, incoming);
    expect((await patch(url, 1000, bytes.subarray(1000, 2000))).status).toBe(204);
    expect(await engine.digest(id)).toBe(sha256(bytes.subarray(0, 2000)));
  });
});

describe('on s3', () => {
  const stage = useEngine('s3', ENGINE);

  /** As a lifecycle rule does. */
  async function abort(id: string): Promise<void> {
    const { key, storageId } = await stage.engine.row(id);
    if (!(stage.engine.storage instanceof S3Storage) || !storageId) throw new Error('nothing to abort');
    await new Multipart(stage.engine.storage).abort(key, storageId);
  }

  it.each([
    ['while it grows', 6 * MiB],
    ['with its last byte', 7 * MiB],
  ])('an aborted multipart upload took its parts with it, found %s', async (_when, length) => {
    const { url, id } = await createUpload(stage.engine, 7 * MiB);
    await patch(url, 0, bytes.subarray(0, 5 * MiB));
    await abort(id);
    const answers = [await patch(url, 5 * MiB, bytes.subarray(5 * MiB, length))];
    if (length < 7 * MiB) answers.push(await patch(url, length, bytes.subarray(length)));
    expect([answers.at(-1)?.status, answers.at(-1)?.code]).toEqual([410, 'upload_lost']);
    expect(await keysOf(stage.engine, id)).toEqual([]);
  });

  it('an aborted multipart upload took its parts with it, found when they are to be the object', async () => {
    const { engine } = stage;
    const { headers } = await tus('POST', engine.url, { 'Upload-Defer-Length': '1' });
    const url = headers.get('location') ?? '';
    const id = idOf(url);
    await patch(url, 0, parts);
    await abort(id);
    const last = await patch(url, parts.length, '', { 'Upload-Length': String(parts.length) });
    expect([last.status, last.code]).toEqual([410, 'upload_lost']);
    expect(await engine.media(id)).toMatchObject({ status: 'failed', errorCode: 'upload_lost' });
  });

  it('one that has no parts yet is begun again', async () => {
    const { url, id } = await createUpload(stage.engine, 7 * MiB);
    await patch(url, 0, bytes.subarray(0, MiB));
    const socket = await startPatch(stage.engine.port, id, MiB, 7 * MiB, bytes.subarray(MiB, MiB + 1000));
    await eventually(async () => (await stage.engine.row(id)).storageId !== null);
    socket.destroy();
    await abort(id);
    const offset = offsetOf(await tus('HEAD', url));
    expect((await patch(url, offset, bytes.subarray(offset))).status).toBe(503);
    expect((await patch(url, offset, bytes.subarray(offset))).status).toBe(204);
    expect(await stage.engine.digest(id)).toBe(sha256(bytes));
  });
});
