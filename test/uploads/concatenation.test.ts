/** Parallel uploads (tus concatenation): partials, finals, and what crashes leave. On disk and on a real S3 server. */
import { randomBytes } from 'node:crypto';
import { Upload } from 'tus-js-client';
import {
  idOf,
  startEngine,
  createUpload,
  metadata,
  offsetOf,
  patch,
  sha256,
  STORAGES,
  tus,
  useEngine,
  type Answer,
} from './harness.ts';

const MiB = 1024 * 1024;

describe.each(STORAGES)('concatenation on %s', (storage) => {
  const stage = useEngine(storage);
  const bytes = randomBytes(29 * MiB + 77);

  interface Partial {
    url: string;
    id: string;
    body: Buffer;
  }

  /** Cuts `bytes` at these positions and creates a partial upload of each piece. */
  async function partialsAt(...cuts: number[]): Promise<Partial[]> {
    const ends = [...cuts, bytes.length];
    return Promise.all(
      ends.map(async (end, index) => {
        const body = bytes.subarray(cuts[index - 1] ?? 0, end);
        return { ...(await createUpload(stage.engine, body.length, { 'Upload-Concat': 'partial' })), body };
      }),
    );
  }

  const send = (partials: Partial[]): Promise<unknown> =>
    Promise.all(partials.map(async ({ url, body }) => expect((await patch(url, 0, body)).status).toBe(204)));

  const concat = (partials: { url: string }[]): string => `final;${partials.map(({ url }) => url).join(' ')}`;

  const join = (partials: { url: string }[], headers: Record<string, string> = {}): Promise<Answer> =>
    tus('POST', stage.engine.url, { 'Upload-Concat': concat(partials), ...headers });

  /** Everything that storage holds of unfinished and partial uploads of these ids. */
  async function left(...ids: string[]): Promise<string[]> {
    const keys: string[] = [];
    for (const prefix of ['incoming/', 'partials/'])
      for await (const { key } of stage.engine.storage.list(prefix))
        if (ids.some((id) => key.includes(id))) keys.push(key);
    return keys;
  }

  it.each([
    ['of any size', [8 * MiB + 1, 9 * MiB, 22 * MiB]],
    ['that are tiny, and empty', [3, 3, 10, 5 * MiB]],
    ['just one', []],
  ])('joins partials %s, once', async (_what, cuts) => {
    const partials = await partialsAt(...cuts);
    await send(partials);
    for (const { id, body } of partials)
      expect(await stage.engine.row(id)).toMatchObject({
        mediaId: null,
        state: 'complete',
        offset: body.length,
      });
    const relative = partials.map(({ id }) => ({ url: `/files/${id}` }));
    const created = await join(relative, { 'Upload-Metadata': metadata({ filename: 'joined.mp4' }) });
    expect([created.status, offsetOf(created)]).toEqual([201, bytes.length]);
    const url = created.headers.get('location') ?? '';
    const head = await tus('HEAD', url);
    expect(head.headers.get('upload-concat')).toBe(concat(relative));
    expect([offsetOf(head), head.headers.get('upload-length')]).toEqual([bytes.length, String(bytes.length)]);
    expect(await stage.engine.digest(idOf(url))).toBe(sha256(bytes));
    expect(await stage.engine.media(idOf(url))).toMatchObject({ status: 'processing', title: 'joined' });
    // The same partials, by their whole addresses.
    const again = await join(partials, { 'Upload-Metadata': metadata({ filename: 'joined.mp4' }) });
    expect([again.status, again.headers.get('location')]).toEqual([201, url]);
    expect(stage.engine.finished.filter((done) => done === idOf(url))).toHaveLength(1);
    expect(await left(idOf(url), ...partials.map(({ id }) => id))).toEqual([]);
    // As tus-js-client does that missed the answer, and began to ask for its parts before they were joined.
    for (const partial of partials) {
      const head = await tus('HEAD', partial.url);
      expect([head.status, head.headers.get('upload-offset')]).toEqual([
        200,
        head.headers.get('upload-length'),
      ]);
      expect((await patch(partial.url, offsetOf(head), '')).status).toBe(204);
      expect((await patch(partial.url, offsetOf(head) + 1, 'x')).code).toBe('offset_mismatch');
      expect((await tus('DELETE', partial.url)).status).toBe(410);
    }
    expect((await patch(url, bytes.length, Buffer.alloc(0))).code).toBe('final_upload');
  });

  it('lets partials finish after their final was posted, and tells how far they are together', async () => {
    const partials = await partialsAt(6 * MiB, 20 * MiB);
    const created = await join(partials);
    expect([created.status, created.headers.get('upload-offset')]).toEqual([201, null]);
    const url = created.headers.get('location') ?? '';
    const before = await tus('HEAD', url);
    expect(before.headers.get('upload-offset')).toBeNull();
    expect(before.headers.get('upload-length')).toBe(String(bytes.length));
    expect((await tus('HEAD', partials[0]!.url)).headers.get('upload-concat')).toBe('partial');
    expect((await patch(url, 0, 'x')).status).toBe(403);
    expect((await tus('DELETE', partials[1]!.url)).code).toBe('partial_used');

    await send(partials);
    expect(offsetOf(await tus('HEAD', url))).toBe(bytes.length);
    expect(await stage.engine.digest(idOf(url))).toBe(sha256(bytes));
    expect(stage.engine.finished.filter((done) => done === idOf(url))).toHaveLength(1);
    const events = await stage.engine.db
      .selectFrom('event')
      .select('payload')
      .where('mediaId', '=', idOf(url))
      .where('type', '=', 'upload.progress')
      .orderBy('id')
      .execute();
    const offsets = events.map(({ payload }) => (JSON.parse(payload) as { offset: number }).offset);
    expect(offsets.at(-1)).toBe(bytes.length);
    expect(offsets).toEqual([...offsets].sort((a, b) => a - b));
    expect(offsets.length).toBeGreaterThan(2);
  });

  it.each(['HEAD', 'sweep', 'POST'])('goes on by %s with an assembly that a crash broke off', async (by) => {
    const partials = await partialsAt(7 * MiB, 13 * MiB);
    await send(partials);
    const dying = await startEngine(stage.ground, {
      hooks: { finish: () => Promise.reject(new Error('the process dies here')) },
    });
    const crashed = await tus('POST', dying.url, {
      'Upload-Concat': `final;${partials.map(({ id }) => `/files/${id}`).join(' ')}`,
    });
    expect(crashed.status).toBe(503);
    await dying.close();
    const [{ finalId }] = [await stage.engine.row(partials[0]!.id)];
    const url = `${stage.engine.url}/${finalId}`;
    expect((await stage.engine.row(finalId!)).state).toBe('assembling');
    if (by === 'sweep') await stage.engine.uploads.sweep();
    else if (by === 'POST')
      expect((await join(partials.map(({ id }) => ({ url: `/files/${id}` })))).status).toBe(201);
    expect(offsetOf(await tus('HEAD', url))).toBe(bytes.length);
    expect(await stage.engine.digest(finalId!)).toBe(sha256(bytes));
    expect(stage.engine.finished.filter((done) => done === finalId)).toHaveLength(1);
    expect(await left(finalId!, ...partials.map(({ id }) => id))).toEqual([]);
  });

  it('refuses what can not be joined', async () => {
    const partials = await partialsAt(5);
    const single = await createUpload(stage.engine, 5);
    const strange = { url: `${stage.engine.url}/00000000-0000-7000-8000-000000000000` };
    const elsewhere = { url: partials[0]!.url.replace(/^http:\/\/[^/]+/, 'http://elsewhere.example') };
    for (const other of [single, strange, elsewhere, { url: 'http://' }])
      expect((await join([...partials, other])).code).toBe('partial_unknown');
    expect((await join(partials, { Authorization: 'Bearer bob' })).code).toBe('partial_unknown');
    expect((await join([...partials, partials[0]!])).code).toBe('concat_invalid');
    expect((await tus('POST', stage.engine.url, { 'Upload-Concat': 'x', 'Upload-Length': '1' })).code).toBe(
      'concat_invalid',
    );
    expect((await join(partials, { 'Upload-Length': '5' })).code).toBe('length_invalid');
    expect((await join(partials)).status).toBe(201);
    expect((await join([partials[1]!, partials[0]!])).code).toBe('partial_used');
  });

  it('leaves nothing of a final that was given up, nor of partials that nobody joined', async () => {
    const partials = await partialsAt(6 * MiB, 20 * MiB);
    await send(partials.slice(1));
    const url = (await join(partials)).headers.get('location') ?? '';
    expect((await tus('DELETE', url)).status).toBe(204);
    await stage.engine.uploads.discard(idOf(url));
    expect((await tus('HEAD', partials[1]!.url)).status).toBe(410);

    const alone = await partialsAt(9 * MiB);
    await send(alone);
    expect((await tus('DELETE', alone[0]!.url)).status).toBe(204);
    await stage.engine.db
      .updateTable('upload')
      .set({ expiresAt: Date.now() - 1 })
      .where('id', '=', alone[1]!.id)
      .execute();
    expect((await join([alone[1]!])).code).toBe('partial_unknown');
    await stage.engine.uploads.sweep();
    expect((await stage.engine.row(alone[1]!.id)).state).toBe('expired');
    expect(await left(idOf(url), ...[...partials, ...alone].map(({ id }) => id))).toEqual([]);
  });

  it('keeps a final within UPLOAD_MAX_SIZE', async () => {
    const small = await startEngine(stage.ground, { env: { UPLOAD_MAX_SIZE: '20MB' } });
    const partials = await partialsAt(15 * MiB);
    const answer = await tus('POST', small.url, {
      'Upload-Concat': `final;${partials.map(({ id }) => `/files/${id}`).join(' ')}`,
    });
    expect([answer.status, answer.code]).toEqual([413, 'upload_too_large']);
    await small.close();
  });

  it('takes parallel uploads of tus-js-client', async () => {
    const url = await new Promise<string>((resolve, reject) => {
      const upload: Upload = new Upload(bytes, {
        endpoint: stage.engine.url,
        headers: { authorization: 'Bearer alice' },
        parallelUploads: 4,
        metadata: { filename: 'parallel.mp4' },
        retryDelays: [0, 100],
        onError: reject,
        onSuccess: () => resolve(upload.url ?? ''),
      });
      upload.start();
    });
    expect(await stage.engine.digest(idOf(url))).toBe(sha256(bytes));
    expect(await stage.engine.media(idOf(url))).toMatchObject({
      status: 'processing',
      filename: 'parallel.mp4',
    });
    expect(stage.engine.finished.filter((done) => done === idOf(url))).toHaveLength(1);
  });
});
