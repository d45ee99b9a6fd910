/** tus 1.0 as clients speak it: headers, statuses, errors, owners. */
import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { eventually } from '../server.ts';
import {
  idOf,
  startEngine,
  createUpload,
  metadata,
  offsetOf,
  patch,
  sha256,
  tus,
  useEngine,
} from './harness.ts';

const KiB = 1024;
const stage = useEngine('disk', { env: { UPLOAD_MAX_SIZE: '1MB', UPLOAD_METADATA_MAX: '2KB' } });
const bytes = randomBytes(200 * KiB);

describe('what the server says of itself', () => {
  it('OPTIONS names version and limits, to anybody', async () => {
    const { status, headers } = await tus('OPTIONS', stage.engine.url, {
      Authorization: undefined,
      'Tus-Resumable': undefined,
    });
    expect(status).toBe(204);
    expect(headers.get('tus-version')).toBe('1.0.0');
    expect(headers.get('tus-max-size')).toBe(String(1024 * KiB));
  });

  it('lets browsers of other origins send and read every header of the protocol', async () => {
    const preflight = await tus('OPTIONS', stage.engine.url, { Origin: 'https://app.example' });
    expect(preflight.headers.get('access-control-allow-origin')).toBe('*');
    expect(preflight.headers.get('access-control-allow-methods')).toContain('PATCH');
    const allowed = preflight.headers.get('access-control-allow-headers')?.toLowerCase().split(/, */);
    for (const name of [
      'authorization',
      'tus-resumable',
      'upload-length',
      'upload-metadata',
      'upload-offset',
    ])
      expect(allowed).toContain(name);
    expect(allowed).toContain('idempotency-key');
    expect(allowed).toContain('x-http-method-override');

    const refused = await tus('POST', stage.engine.url, { Origin: 'https://app.example' });
    expect(refused.status).toBe(400);
    const exposed = refused.headers.get('access-control-expose-headers')?.toLowerCase().split(/, */);
    for (const name of ['location', 'upload-offset', 'upload-length', 'upload-expires', 'retry-after'])
      expect(exposed).toContain(name);
  });

  it('lets browsers read every refusal', async () => {
    const { url } = await createUpload(stage.engine, 1);
    for (const [method, at] of [
      ['HEAD', `${stage.engine.url}/nope`],
      ['PUT', stage.engine.url],
      ['PATCH', url],
    ] as const) {
      const answer = await tus(method, at, { Origin: 'https://app.example' });
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.headers.get('access-control-allow-origin')).toBe('*');
      expect(answer.headers.get('tus-resumable')).toBe('1.0.0');
    }
  });

  it('names only the origins of the configuration', async () => {
    const strict = await startEngine(stage.ground, {
      env: { CORS_ORIGINS: 'https://a.example,https://b.example' },
    });
    const from = (Origin: string) => tus('OPTIONS', strict.url, { Origin });
    expect((await from('https://b.example')).headers.get('access-control-allow-origin')).toBe(
      'https://b.example',
    );
    const other = await from('https://evil.example');
    expect(other.headers.get('access-control-allow-origin')).not.toBe('https://evil.example');
    expect(other.headers.get('vary')).toContain('Origin');
    await strict.close();
  });
});

describe('a life', () => {
  it('goes from creation over HEAD and PATCH to processing', async () => {
    const sent = metadata({ filename: 'holiday.mp4', filetype: 'video/mp4', custom: 'kept' });
    const created = await tus('POST', stage.engine.url, { 'Upload-Length': '1000', 'Upload-Metadata': sent });
    expect(created.status).toBe(201);
    expect(created.headers.get('tus-resumable')).toBe('1.0.0');
    const url = created.headers.get('location') ?? '';
    expect(url).toBe(`${stage.engine.url}/${idOf(url)}`);
    const expires = Date.parse(created.headers.get('upload-expires') ?? '');
    expect(Math.abs(expires - Date.now() - 24 * 3600_000)).toBeLessThan(120_000);
    expect(await stage.engine.media(idOf(url))).toMatchObject({
      ...{ owner: 'alice', status: 'uploading', title: 'holiday', filename: 'holiday.mp4' },
      ...{ filetype: 'video/mp4', visibility: 'private' },
    });

    const head = await tus('HEAD', url);
    expect([head.status, offsetOf(head), head.headers.get('upload-length')]).toEqual([200, 0, '1000']);
    expect(head.headers.get('cache-control')).toBe('no-store');
    expect(head.headers.get('upload-metadata')).toBe(sent);
    expect(head.headers.get('upload-expires')).toBeTruthy();

    const half = await patch(url, 0, bytes.subarray(0, 600));
    expect([half.status, offsetOf(half)]).toEqual([204, 600]);
    expect(half.headers.get('upload-expires')).toBeTruthy();
    const rest = await patch(url, 600, bytes.subarray(600, 1000));
    expect([rest.status, offsetOf(rest), rest.headers.get('upload-expires')]).toEqual([204, 1000, null]);
    expect(await stage.engine.media(idOf(url))).toMatchObject({
      status: 'processing',
      sourceKey: `media/${idOf(url)}/source`,
    });
    const events = await stage.engine.db
      .selectFrom('event')
      .selectAll()
      .where('mediaId', '=', idOf(url))
      .orderBy('id')
      .execute();
    const types = events.map(({ type }) => type);
    expect([...new Set(types)]).toEqual(['media.created', 'upload.progress', 'media.status']);
    // A body that comes slowly is told of more than once.
    expect(types.filter((type) => type !== 'upload.progress')).toHaveLength(2);
    expect(types.at(-1)).toBe('media.status');
    expect(JSON.parse(events.at(-2)!.payload)).toEqual({ offset: 1000, length: 1000 });
  });

  it('obeys X-HTTP-Method-Override', async () => {
    const { url, id } = await createUpload(stage.engine, 10);
    const answer = await tus(
      'POST',
      url,
      { 'X-HTTP-Method-Override': 'PATCH', 'Upload-Offset': '0' },
      bytes.subarray(0, 10),
    );
    expect(answer.status).toBe(204);
    expect(await stage.engine.digest(id)).toBe(sha256(bytes.subarray(0, 10)));
    expect((await tus('POST', url, { 'X-HTTP-Method-Override': 'DELETE' })).status).toBe(204);
    expect((await tus('HEAD', url)).status).toBe(410);
  });

  it('answers an empty PATCH at the end with 204, and finishes nothing twice', async () => {
    const { url, id } = await createUpload(stage.engine, 10);
    await patch(url, 0, bytes.subarray(0, 10));
    for (let round = 0; round < 3; round++) expect((await patch(url, 10, Buffer.alloc(0))).status).toBe(204);
    expect(stage.engine.finished.filter((done) => done === id)).toHaveLength(1);
  });
});

describe('where an upload is', () => {
  it('is below PUBLIC_URL when that is set', async () => {
    const behind = await startEngine(stage.ground, { env: { PUBLIC_URL: 'https://media.example/up/' } });
    const { headers } = await tus('POST', behind.url, { 'Upload-Length': '1' });
    expect(headers.get('location')).toMatch(/^https:\/\/media\.example\/up\/files\/[0-9a-f-]{36}$/);
    await behind.close();
  });

  it('follows forwarded headers only from a trusted proxy', async () => {
    const forwarded = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'media.example' };
    const plain = await tus('POST', stage.engine.url, { 'Upload-Length': '1', ...forwarded });
    expect(plain.headers.get('location')).toMatch(`http://127.0.0.1:${stage.engine.port}/files/`);
    const trusting = await startEngine(stage.ground, { trustProxy: true });
    const behind = await tus('POST', trusting.url, { 'Upload-Length': '1', ...forwarded });
    expect(behind.headers.get('location')).toMatch('https://media.example/files/');
    const chain = await tus('POST', trusting.url, {
      'Upload-Length': '1',
      'X-Forwarded-Proto': 'https,http',
      'X-Forwarded-Host': 'media.example',
    });
    expect(chain.status).toBe(201);
    await trusting.close();
  });
});

describe('who may', () => {
  it('nobody without credentials, and no key without the scope', async () => {
    const { url } = await createUpload(stage.engine, 10);
    for (const [method, at] of [
      ['POST', stage.engine.url],
      ['HEAD', url],
      ['DELETE', url],
    ] as const) {
      expect((await tus(method, at, { Authorization: undefined, 'Upload-Length': '1' })).status).toBe(401);
      expect(
        (await tus(method, at, { Authorization: 'Bearer alice read', 'Upload-Length': '1' })).status,
      ).toBe(403);
    }
    const answer = await tus('PATCH', url, { Authorization: undefined, 'Upload-Offset': '0' }, 'x');
    expect([answer.status, answer.code]).toEqual([401, 'unauthorized']);
  });

  it("another owner's upload is as unknown as none", async () => {
    const { url } = await createUpload(stage.engine, 10);
    const strange = `${stage.engine.url}/00000000-0000-7000-8000-000000000000`;
    for (const at of [url, strange]) {
      const bob = { Authorization: 'Bearer bob' };
      expect((await tus('HEAD', at, bob)).status).toBe(404);
      expect((await tus('DELETE', at, bob)).code).toBe('not_found');
      expect((await patch(at, 0, 'x', bob)).code).toBe('not_found');
    }
    expect((await tus('HEAD', url, { Authorization: 'Bearer root admin' })).status).toBe(200);
  });
});

describe('what is refused', () => {
  const refusals: [string, Record<string, string | undefined>, number, string][] = [
    ['no length', {}, 400, 'length_invalid'],
    ['two lengths', { 'Upload-Length': '1', 'Upload-Defer-Length': '1' }, 400, 'length_invalid'],
    ['a negative length', { 'Upload-Length': '-1' }, 400, 'header_invalid'],
    ['no number', { 'Upload-Length': 'NaN' }, 400, 'header_invalid'],
    ['an exponent', { 'Upload-Length': '1e3' }, 400, 'header_invalid'],
    ['a fraction', { 'Upload-Length': '1.5' }, 400, 'header_invalid'],
    ['2^63', { 'Upload-Length': '9223372036854775808' }, 400, 'header_invalid'],
    ['hexadecimal', { 'Upload-Length': '0x10' }, 400, 'header_invalid'],
    ['too much', { 'Upload-Length': String(1024 * KiB + 1) }, 413, 'upload_too_large'],
    ['a wrong deferral', { 'Upload-Defer-Length': '2' }, 400, 'header_invalid'],
    ['no version', { 'Upload-Length': '1', 'Tus-Resumable': undefined }, 412, 'tus_version_unsupported'],
    ['another version', { 'Upload-Length': '1', 'Tus-Resumable': '0.2.2' }, 412, 'tus_version_unsupported'],
    [
      'metadata without Base64',
      { 'Upload-Length': '1', 'Upload-Metadata': 'a !!!!' },
      400,
      'metadata_invalid',
    ],
    ['a key twice', { 'Upload-Length': '1', 'Upload-Metadata': 'a YQ==,a YQ==' }, 400, 'metadata_invalid'],
    ['no key', { 'Upload-Length': '1', 'Upload-Metadata': ', YQ==' }, 400, 'metadata_invalid'],
    [
      'huge metadata',
      { 'Upload-Length': '1', 'Upload-Metadata': metadata({ a: 'x'.repeat(3000) }) },
      413,
      'metadata_too_large',
    ],
    [
      'an unknown visibility',
      { 'Upload-Length': '1', 'Upload-Metadata': metadata({ visibility: 'all' }) },
      400,
      'metadata_invalid',
    ],
    [
      'an endless title',
      { 'Upload-Length': '1', 'Upload-Metadata': metadata({ title: 'x'.repeat(501) }) },
      400,
      'metadata_invalid',
    ],
    [
      'an odd key',
      { 'Upload-Length': '1', 'Idempotency-Key': 'x'.repeat(256) },
      400,
      'idempotency_key_invalid',
    ],
  ];
  it.each(refusals)('creation with %s', async (_what, headers, status, code) => {
    const before = await countUploads();
    const answer = await tus('POST', stage.engine.url, headers);
    expect([answer.status, answer.code]).toEqual([status, code]);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(await countUploads()).toBe(before);
  });

  it('tells whoever posts a form or a plain file what is taken here', async () => {
    const body = new FormData();
    body.set('file', new Blob(['x']), 'film.mp4');
    const none = { 'Tus-Resumable': undefined, 'Content-Type': undefined };
    const answer = await tus('POST', stage.engine.url, none, body);
    expect([answer.status, answer.code]).toEqual([412, 'tus_version_unsupported']);
    expect((JSON.parse(answer.body) as { detail: string }).detail).toMatch(/tus client.*Tus-Resumable.*form/);
  });

  it('a PATCH with a wrong offset, type or head', async () => {
    const { url, id } = await createUpload(stage.engine, 100);
    const head = { 'Upload-Offset': '0' };
    const expectations: [Record<string, string | undefined>, number, string][] = [
      [{ 'Upload-Offset': '5' }, 409, 'offset_mismatch'],
      [{ 'Upload-Offset': '9007199254740991' }, 409, 'offset_mismatch'],
      [{ 'Upload-Offset': '-1' }, 400, 'header_invalid'],
      [{ 'Upload-Offset': '0x0' }, 400, 'header_invalid'],
      [{}, 400, 'offset_missing'],
      [{ ...head, 'Content-Type': 'video/mp4' }, 415, 'content_type_invalid'],
      [{ ...head, 'Upload-Length': '200' }, 400, 'length_invalid'],
    ];
    for (const [headers, status, code] of expectations) {
      const answer = await tus('PATCH', url, headers, 'x');
      expect([headers, answer.status, answer.code]).toEqual([headers, status, code]);
    }
    expect((await stage.engine.row(id)).offset).toBe(0);
  });

  it('addresses and methods it does not have', async () => {
    for (const path of ['/nope', '/../x', '/a/b', '/%2e%2e%2fetc', `/${'a'.repeat(300)}`])
      expect((await tus('HEAD', stage.engine.url + path)).status).toBe(404);
    expect((await tus('PUT', stage.engine.url)).code).toBe('method_not_allowed');
    const { url } = await createUpload(stage.engine, 1);
    expect((await tus('POST', url, { 'Upload-Length': '1' })).status).toBe(405);
  });

  it('uploads that the disk has no room for, before a byte is taken', async () => {
    const full = await startEngine(stage.ground, { env: { DISK_FLOOR: '900TB' } });
    const created = await tus('POST', full.url, { 'Upload-Length': '1' });
    expect([created.status, created.code]).toEqual([507, 'disk_full']);
    const { url, id } = await createUpload(stage.engine, 10);
    expect((await patch(url.replace(stage.engine.url, full.url), 0, bytes.subarray(0, 10))).status).toBe(507);
    expect((await stage.engine.row(id)).offset).toBe(0);
    await full.close();
  });

  it('a body above UPLOAD_MAX_SIZE when the length is deferred', async () => {
    const { headers } = await tus('POST', stage.engine.url, { 'Upload-Defer-Length': '1' });
    const url = headers.get('location') ?? '';
    const known = await patch(url, 0, Buffer.alloc(1024 * KiB + 1));
    expect([known.status, known.code]).toEqual([413, 'upload_too_large']);
    const declared = await patch(url, 0, 'x', { 'Upload-Length': String(1024 * KiB + 1) });
    expect(declared.code).toBe('upload_too_large');
  });

  it('more than QUOTA_PER_OWNER, before a byte of it is taken', async () => {
    const tight = await startEngine(stage.ground, { env: { QUOTA_PER_OWNER: '1000' } });
    const carol = { Authorization: 'Bearer carol' };
    const make = (headers: Record<string, string>) => tus('POST', tight.url, { ...carol, ...headers });
    const first = await make({ 'Upload-Length': '600' });
    const over = await make({ 'Upload-Length': '401' });
    expect([over.status, over.code]).toEqual([413, 'quota_exceeded']);
    expect((await make({ 'Upload-Length': '401', Authorization: 'Bearer dave' })).status).toBe(201);
    await patch(first.headers.get('location') ?? '', 0, bytes.subarray(0, 600), carol);
    const deferred = await make({ 'Upload-Defer-Length': '1' });
    const url = deferred.headers.get('location') ?? '';
    expect((await patch(url, 0, bytes.subarray(0, 300), carol)).status).toBe(204);
    const declared = await patch(url, 300, 'x', { ...carol, 'Upload-Length': '401' });
    expect(declared.code).toBe('quota_exceeded');
    const chunked = await patch(url, 300, new Blob([bytes.subarray(0, 101)]).stream(), carol);
    expect([chunked.status, chunked.code]).toEqual([413, 'quota_exceeded']);
    expect((await make({ 'Upload-Length': '1', 'Upload-Concat': 'partial' })).code).toBe('quota_exceeded');
    expect((await tus('DELETE', first.headers.get('location') ?? '', carol)).status).toBe(204);
    expect((await make({ 'Upload-Length': '600' })).status).toBe(201);
    const race = await Promise.all(
      [1, 2, 3].map(() => make({ 'Upload-Length': '0', 'Upload-Concat': 'partial' })),
    );
    expect(race.map(({ status }) => status)).toEqual([201, 201, 201]);
    await tight.close();
  });

  it('another length than was declared, but not the same once more', async () => {
    const { headers } = await tus('POST', stage.engine.url, { 'Upload-Defer-Length': '1' });
    const url = headers.get('location') ?? '';
    expect((await patch(url, 0, 'ab', { 'Upload-Length': '10' })).status).toBe(204);
    expect((await patch(url, 2, 'cd', { 'Upload-Length': '11' })).code).toBe('length_invalid');
    expect((await patch(url, 2, 'cd', { 'Upload-Length': '10' })).status).toBe(204);
  });

  it.each(['1e1', '0xa', '10.0', ''])(
    'a declared length in other words, which a reader of digits takes for another: %s',
    async (words) => {
      const { headers } = await tus('POST', stage.engine.url, { 'Upload-Defer-Length': '1' });
      const url = headers.get('location') ?? '';
      const declared = words === '' ? '0' : '10';
      expect((await patch(url, 0, '', { 'Upload-Length': declared })).status).toBe(204);
      expect((await patch(url, 0, '', { 'Upload-Length': words })).status).toBe(400);
      expect((await stage.engine.row(idOf(url))).length).toBe(Number(declared));
    },
  );

  it('no length that an earlier try of the same PATCH has declared meanwhile', async () => {
    const { db, url: collection } = stage.engine;
    const { headers } = await tus('POST', collection, { 'Upload-Defer-Length': '1' });
    const url = headers.get('location') ?? '';
    const id = idOf(url);
    // Another server has the upload: it declares the length, and is gone.
    const lock = { uploadId: id, holder: 'elsewhere', wanted: 0, expiresAt: Date.now() + 60_000 };
    await db.insertInto('uploadLock').values(lock).execute();
    const again = patch(url, 0, 'ab', { 'Upload-Length': '2' });
    const held = db.selectFrom('uploadLock').select('wanted').where('uploadId', '=', id);
    await eventually(async () => (await held.executeTakeFirst())?.wanted === 1);
    await db.updateTable('upload').set({ length: 2 }).where('id', '=', id).execute();
    await db.deleteFrom('uploadLock').where('uploadId', '=', id).execute();
    expect((await again).status).toBe(204);
    expect(offsetOf(await tus('HEAD', url))).toBe(2);
  });

  const countUploads = async (): Promise<number> =>
    (await stage.engine.db.selectFrom('upload').select('id').execute()).length;
});

describe('names', () => {
  const names: [string, Record<string, string>, { filename: string | null; title: string }][] = [
    ['path parts', { filename: '../../etc/passwd' }, { filename: 'passwd', title: 'passwd' }],
    ['Windows paths', { filename: 'C:\\fakepath\\clip.mov' }, { filename: 'clip.mov', title: 'clip' }],
    [
      'NUL and controls',
      { filename: 'a\0b\nc\u001b[31m.mp4' },
      { filename: 'abc[31m.mp4', title: 'abc[31m' },
    ],
    [
      'reversed text',
      { filename: 'invoice\u202e4pm.exe' },
      { filename: 'invoice4pm.exe', title: 'invoice4pm' },
    ],
    ['only dots', { filename: '..' }, { filename: null, title: 'Untitled' }],
    ['nothing', {}, { filename: null, title: 'Untitled' }],
    ['what Uppy sends', { name: 'cat.webm', type: 'video/webm' }, { filename: 'cat.webm', title: 'cat' }],
    [
      'a title of its own',
      { filename: 'x.mp4', title: ' My film ' },
      { filename: 'x.mp4', title: 'My film' },
    ],
    ['other scripts', { filename: '日本の動画.mp4' }, { filename: '日本の動画.mp4', title: '日本の動画' }],
  ];
  it.each(names)('cleans %s', async (_what, pairs, expected) => {
    const { id } = await createUpload(stage.engine, 1, { 'Upload-Metadata': metadata(pairs) });
    expect(await stage.engine.media(id)).toMatchObject(expected);
  });

  it('cuts long names between characters, at 255 bytes', async () => {
    const { id } = await createUpload(stage.engine, 1, {
      'Upload-Metadata': metadata({ filename: 'é'.repeat(200) }),
    });
    expect((await stage.engine.media(id)).filename).toBe('é'.repeat(127));
  });

  it('takes the visibility', async () => {
    const { id } = await createUpload(stage.engine, 1, {
      'Upload-Metadata': metadata({ visibility: 'public' }),
    });
    expect((await stage.engine.media(id)).visibility).toBe('public');
  });
});

describe('Idempotency-Key', () => {
  it('answers a repeated creation with the first upload and its offset', async () => {
    const headers = { 'Upload-Length': '1000', 'Idempotency-Key': 'one' };
    const first = await tus('POST', stage.engine.url, headers);
    const url = first.headers.get('location') ?? '';
    await patch(url, 0, bytes.subarray(0, 400));
    const again = await tus('POST', stage.engine.url, headers, bytes.subarray(0, 1000));
    expect([again.status, again.headers.get('location'), offsetOf(again)]).toEqual([201, url, 400]);
    await patch(url, 400, bytes.subarray(400, 1000));
    expect(await stage.engine.digest(idOf(url))).toBe(sha256(bytes.subarray(0, 1000)));
    expect(offsetOf(await tus('POST', stage.engine.url, headers))).toBe(1000);
  });

  it('makes one upload of two creations at once', async () => {
    const headers = { 'Upload-Length': '100', 'Idempotency-Key': 'race' };
    const answers = await Promise.all([1, 2, 3, 4].map(() => tus('POST', stage.engine.url, headers)));
    expect(answers.map((a) => a.status)).toEqual([201, 201, 201, 201]);
    expect(new Set(answers.map((a) => a.headers.get('location'))).size).toBe(1);
  });

  it('writes the body of the repetition when the first one brought none', async () => {
    const headers = { 'Upload-Length': '10', 'Idempotency-Key': 'body' };
    const first = await tus('POST', stage.engine.url, headers);
    const again = await tus('POST', stage.engine.url, headers, bytes.subarray(0, 10));
    expect(offsetOf(again)).toBe(10);
    expect(await stage.engine.digest(idOf(first.headers.get('location')))).toBe(
      sha256(bytes.subarray(0, 10)),
    );
  });

  it('belongs to its owner, and to one file', async () => {
    const headers = { 'Upload-Length': '100', 'Idempotency-Key': 'mine' };
    const first = await tus('POST', stage.engine.url, headers);
    const bob = await tus('POST', stage.engine.url, { ...headers, Authorization: 'Bearer bob' });
    expect(bob.headers.get('location')).not.toBe(first.headers.get('location'));
    for (const other of [{ 'Upload-Length': '101' }, { 'Upload-Metadata': metadata({ title: 'x' }) }]) {
      const answer = await tus('POST', stage.engine.url, { ...headers, ...other });
      expect([answer.status, answer.code]).toEqual([422, 'idempotency_key_reused']);
    }
    await tus('DELETE', first.headers.get('location') ?? '');
    expect((await tus('POST', stage.engine.url, headers)).status).toBe(410);
  });
});

it('a client that is refused in the middle of its body can read why', async () => {
  const { url } = await createUpload(stage.engine, 100);
  const answer = await new Promise<number | undefined>((resolve, reject) => {
    const sent = request(url, {
      method: 'PATCH',
      headers: {
        'Tus-Resumable': '1.0.0',
        Authorization: 'Bearer alice',
        'Content-Type': 'application/offset+octet-stream',
        'Upload-Offset': '50',
        'Content-Length': 64 * 1024 * 1024,
      },
    });
    sent.on('response', (response) => resolve(response.resume().statusCode));
    sent.on('error', reject);
    sent.write(Buffer.alloc(4 * 1024 * 1024));
  });
  expect(answer).toBe(409);
});
