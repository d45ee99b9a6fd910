/** Resumable uploads of the IETF, each version on the wire as its text has it. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { eventually } from '../server.ts';
import {
  metadata,
  offsetOf,
  openGround,
  patch,
  sha256,
  startEngine,
  tus,
  type Engine,
  type Ground,
} from './harness.ts';
import { chunked, CutError, wire, type Fields, type WireAnswer, type WireOptions } from './wire.ts';

let ground: Ground;
let engine: Engine;

beforeAll(async () => {
  ground = await openGround();
  engine = await startEngine(ground, { env: { UPLOAD_MAX_SIZE: '1MB', UPLOAD_EXPIRES: '1h' } });
});

afterAll(async () => {
  await engine.close();
  await ground.close();
});

const FILE = randomBytes(1000);
const LIMITS = 'max-size=1048576';
const UNKNOWN = '01920000-0000-7000-8000-000000000000';

/** A request as alice in one version; `complete` in that version's own words. */
function draft(
  version: number | undefined,
  method: string,
  url: string,
  { complete, ...fields }: Fields & { complete?: string } = {},
  body?: Buffer,
  options?: WireOptions,
): Promise<WireAnswer> {
  const flag = complete === undefined ? {} : flagOf(version, complete);
  return wire(
    method,
    url,
    {
      Authorization: 'Bearer alice',
      ...(version === undefined ? {} : { 'Upload-Draft-Interop-Version': String(version) }),
      ...flag,
      ...(body === undefined || fields['Transfer-Encoding'] ? {} : { 'Content-Length': String(body.length) }),
      ...(method === 'PATCH' && (version ?? 8) >= 6 ? { 'Content-Type': 'application/partial-upload' } : {}),
      ...fields,
    },
    body,
    options,
  );
}

const flagOf = (version: number | undefined, complete: string): Record<string, string> =>
  version === 3 ? { 'Upload-Incomplete': complete === '?1' ? '?0' : '?1' } : { 'Upload-Complete': complete };

const idOf = (answer: Pick<WireAnswer, 'headers'>): string =>
  answer.headers['location']?.split('/').at(-1) ?? '';

const problem = (answer: WireAnswer): Record<string, unknown> =>
  JSON.parse(answer.body) as Record<string, unknown>;

/** What is said of an upload, without what every answer has. */
const said = ({ headers }: Pick<WireAnswer, 'headers'>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).filter(([name]) => /^(upload-|location|cache-control|content-type)/.test(name)),
  );

describe.each([3, 4, 5, 6, 7, 8])('interop version %i', (version) => {
  const field = version === 3 ? 'upload-incomplete' : 'upload-complete';
  const yes = version === 3 ? '?0' : '?1';
  const no = version === 3 ? '?1' : '?0';
  const lifetime = { 6: 'expires', 7: 'max-age', 8: 'max-age' }[version];
  const limit = lifetime ? { 'upload-limit': `${LIMITS}, ${lifetime}=3600` } : {};
  const limitDone = lifetime ? { 'upload-limit': LIMITS } : {};
  const interop = { 'upload-draft-interop-version': String(version) };
  const near = (headers: Record<string, string>): Record<string, string> =>
    Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, value.replace(/=(3[0-5]\d\d|3600)$/, '=3600')]),
    );

  it('takes a whole file at once, announced by a 104', async () => {
    const answer = await draft(version, 'POST', engine.url, { complete: '?1' }, FILE);
    const location = `${engine.url}/${idOf(answer)}`;
    expect(answer.interim).toHaveLength(1);
    expect(answer.interim[0]).toMatchObject({ status: 104, reason: 'Upload Resumption Supported', body: '' });
    expect(near(answer.interim[0]?.headers ?? {})).toEqual({ ...interop, location, ...limit });
    expect(answer.status).toBe(201);
    expect(said(answer)).toEqual({
      ...{ ...interop, location, ...limitDone, [field]: yes, 'upload-offset': '1000' },
      'content-type': 'application/json',
    });
    expect(JSON.parse(answer.body)).toEqual({ id: idOf(answer) });
    expect(await engine.digest(idOf(answer))).toBe(sha256(FILE));
    expect(engine.finished.filter((id) => id === idOf(answer))).toHaveLength(1);
  });

  it('takes a file in parts and tells where it stands', async () => {
    const created = await draft(
      version,
      'POST',
      engine.url,
      { complete: '?0', 'Upload-Length': '1000' },
      FILE.subarray(0, 400),
    );
    const url = created.headers['location'] ?? '';
    expect(created.status).toBe(201);
    expect(near(said(created))).toEqual({
      ...interop,
      location: url,
      ...limit,
      [field]: no,
      'upload-offset': '400',
    });

    const stands = await draft(version, 'HEAD', url);
    expect(stands.status).toBe(204);
    expect(near(said(stands))).toEqual({
      ...{ ...interop, ...limit, [field]: no, 'upload-offset': '400', 'upload-length': '1000' },
      'cache-control': 'no-store',
    });

    const appended = await draft(
      version,
      'PATCH',
      url,
      { complete: '?0', 'Upload-Offset': '400' },
      FILE.subarray(400, 700),
    );
    expect(appended.status).toBe(version <= 6 ? 201 : 204);
    expect(appended.interim).toEqual([]);
    expect(near(said(appended))).toEqual({ ...interop, ...limit, [field]: no, 'upload-offset': '700' });

    const last = await draft(
      version,
      'PATCH',
      url,
      { complete: '?1', 'Upload-Offset': '700' },
      FILE.subarray(700),
    );
    expect(last.status).toBe(201);
    expect(said(last)).toEqual({
      ...{
        ...interop,
        ...limitDone,
        [field]: yes,
        'upload-offset': '1000',
        'content-type': 'application/json',
      },
    });
    expect(await engine.digest(idOf(created))).toBe(sha256(FILE));

    const done = await draft(version, 'HEAD', url);
    expect(said(done)).toEqual({
      ...{ ...interop, ...limitDone, [field]: yes, 'upload-offset': '1000', 'upload-length': '1000' },
      'cache-control': 'no-store',
    });
  });

  it('takes a file of unknown length', async () => {
    const body = chunked(FILE.subarray(0, 300), FILE.subarray(300, 500));
    const created = await draft(
      version,
      'POST',
      engine.url,
      { complete: '?0', 'Transfer-Encoding': 'chunked' },
      body,
    );
    const url = created.headers['location'] ?? '';
    expect(created.headers['upload-offset']).toBe('500');
    expect((await draft(version, 'HEAD', url)).headers['upload-length']).toBeUndefined();
    const last = await draft(
      version,
      'PATCH',
      url,
      { complete: '?1', 'Upload-Offset': '500', 'Transfer-Encoding': 'chunked' },
      chunked(FILE.subarray(500)),
    );
    expect([last.status, last.headers[field]]).toEqual([201, yes]);
    expect(await engine.digest(idOf(created))).toBe(sha256(FILE));
  });

  it('is completed by an empty append, and by an empty creation', async () => {
    const created = await draft(version, 'POST', engine.url, { complete: '?0' }, FILE);
    const url = created.headers['location'] ?? '';
    expect(created.headers[field]).toBe(no);
    const last = await draft(
      version,
      'PATCH',
      url,
      { complete: '?1', 'Upload-Offset': '1000' },
      Buffer.alloc(0),
    );
    expect([last.status, last.headers[field]]).toEqual([201, yes]);
    expect(await engine.digest(idOf(created))).toBe(sha256(FILE));

    const empty = await draft(version, 'POST', engine.url, { complete: '?1' }, Buffer.alloc(0));
    expect([empty.status, empty.headers['upload-offset'], empty.headers[field]]).toEqual([201, '0', yes]);
    expect(await engine.digest(idOf(empty))).toBe(sha256(Buffer.alloc(0)));
  });

  it('goes on after the connection broke', async () => {
    const failure = await draft(version, 'POST', engine.url, { complete: '?1' }, FILE, {
      cutAfter: 321,
      waits: true,
    }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(CutError);
    const [first] = (failure as CutError).interim;
    const url = first?.headers['location'] ?? '';
    const stands = await draft(version, 'HEAD', url);
    expect(stands.headers[field]).toBe(no);
    const offset = Number(stands.headers['upload-offset']); // what came before anybody read it may be gone
    expect([0, 321]).toContain(offset);
    const rest = { complete: '?1', 'Upload-Offset': String(offset) };
    const last = await draft(version, 'PATCH', url, rest, FILE.subarray(offset));
    expect([last.status, last.headers[field]]).toEqual([201, yes]);
    expect(await engine.digest(idOf({ headers: first?.headers ?? {} }))).toBe(sha256(FILE));
  });

  it('refuses an append elsewhere, with both offsets', async () => {
    const created = await draft(version, 'POST', engine.url, { complete: '?0' }, FILE.subarray(0, 10));
    const answer = await draft(
      version,
      'PATCH',
      created.headers['location'] ?? '',
      { complete: '?1', 'Upload-Offset': '11' },
      FILE.subarray(11),
    );
    expect([answer.status, answer.headers['upload-offset'], answer.headers[field]]).toEqual([409, '10', no]);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    expect(problem(answer)).toMatchObject({
      type: 'https://iana.org/assignments/http-problem-types#mismatching-upload-offset',
      'expected-offset': 10,
      'provided-offset': 11,
    });
  });

  it('adds nothing to a complete upload', async () => {
    const created = await draft(version, 'POST', engine.url, { complete: '?1' }, FILE);
    const url = created.headers['location'] ?? '';
    const more = await draft(
      version,
      'PATCH',
      url,
      { complete: '?1', 'Upload-Offset': '1000' },
      Buffer.from('x'),
    );
    expect([more.status, more.headers[field]]).toEqual([400, no]);
    expect(problem(more)['type']).toBe('https://iana.org/assignments/http-problem-types#completed-upload');
    const again = await draft(
      version,
      'PATCH',
      url,
      { complete: '?1', 'Upload-Offset': '1000' },
      Buffer.alloc(0),
    );
    if (version === 6 || version === 7) expect(again.status).toBe(400);
    else expect([again.status, again.headers[field]]).toEqual([201, yes]);
    expect(await engine.digest(idOf(created))).toBe(sha256(FILE));
    expect(engine.finished.filter((id) => id === idOf(created))).toHaveLength(1);
  });

  it('cancels', async () => {
    const created = await draft(version, 'POST', engine.url, { complete: '?0' }, FILE);
    const url = created.headers['location'] ?? '';
    expect((await draft(version, 'DELETE', url)).status).toBe(204);
    expect((await draft(version, 'HEAD', url)).status).toBe(version <= 6 ? 404 : 410);
    expect((await draft(version, 'HEAD', `${engine.url}/${UNKNOWN}`)).status).toBe(404);
  });

  it('minds the fields that HEAD and DELETE may not have', async () => {
    const created = await draft(version, 'POST', engine.url, { complete: '?0' }, FILE);
    const url = created.headers['location'] ?? '';
    const expected = version <= 6 ? 400 : 204;
    expect((await draft(version, 'HEAD', url, { 'Upload-Offset': '0' })).status).toBe(expected);
    expect((await draft(version, 'DELETE', url, { complete: '?1' })).status).toBe(expected);
  });

  it('knows an append by its media type', async () => {
    const created = await draft(version, 'POST', engine.url, { complete: '?0' }, FILE);
    const answer = await draft(
      version,
      'PATCH',
      created.headers['location'] ?? '',
      { complete: '?1', 'Upload-Offset': '1000', 'Content-Type': 'application/octet-stream' },
      Buffer.alloc(0),
    );
    expect(answer.status).toBe(version >= 6 ? 415 : 201);
  });
});

describe('without a version', () => {
  it.each([undefined, 2, 99])('gives %p no 104, and takes the upload', async (version) => {
    const fields = { 'Upload-Complete': '?1', 'Upload-Draft-Interop-Version': version?.toString() };
    const answer = await draft(undefined, 'POST', engine.url, fields, FILE);
    expect([answer.status, answer.interim, answer.headers['upload-complete']]).toEqual([201, [], '?1']);
    expect(answer.headers['upload-draft-interop-version']).toBeUndefined();
    expect(await engine.digest(idOf(answer))).toBe(sha256(FILE));
  });

  it('goes on, asks and cancels by the wording of the newest draft', async () => {
    const created = await draft(undefined, 'POST', engine.url, { complete: '?0' });
    const url = created.headers['location'] ?? '';
    expect([created.status, created.headers['upload-offset'], created.headers['upload-complete']]).toEqual([
      201,
      '0',
      '?0',
    ]);
    const appended = await draft(
      undefined,
      'PATCH',
      url,
      { complete: '?0', 'Upload-Offset': '0' },
      FILE.subarray(0, 5),
    );
    expect([appended.status, appended.headers['upload-complete']]).toEqual([204, '?0']);
    const stands = await draft(undefined, 'HEAD', url);
    expect([stands.status, stands.headers['upload-offset']]).toEqual([204, '5']);
    expect((await draft(undefined, 'DELETE', url)).status).toBe(204);
  });

  it('sends no interim response to HTTP/1.0', async () => {
    const answer = await draft(8, 'POST', engine.url, { complete: '?1' }, FILE, { version: '1.0' });
    expect([answer.status, answer.interim]).toEqual([201, []]);
  });

  it('sends 100 as well as 104 to a client that expects it', async () => {
    const fields = { complete: '?1', Expect: '100-continue' };
    const answer = await draft(8, 'POST', engine.url, fields, FILE, { waits: true });
    expect(answer.interim.map(({ status }) => status)).toEqual([100, 104]);
    expect(answer.status).toBe(201);
  });

  it('answers OPTIONS with the limits', async () => {
    const answer = await wire('OPTIONS', engine.url, {});
    expect(answer.headers['upload-limit']).toBe(`${LIMITS}, max-age=3600`);
    expect(answer.headers['accept-patch']).toBe(
      'application/partial-upload, application/offset+octet-stream',
    );
    expect(answer.headers['access-control-allow-headers']).toContain('Upload-Complete');
  });
});

describe('what is refused', () => {
  it.each<[string, Fields, number, string]>([
    ['?1 as a number', { 'Upload-Complete': '1' }, 400, 'upload_complete_invalid'],
    ['?1 as a word', { 'Upload-Complete': 'true' }, 400, 'upload_complete_invalid'],
    ['the field twice', { 'Upload-Complete': '?1, ?1' }, 400, 'upload_complete_invalid'],
    ['no such field', {}, 400, 'upload_complete_invalid'],
    [
      'a version that is none',
      { 'Upload-Complete': '?1', 'Upload-Draft-Interop-Version': '8.0' },
      400,
      'header_invalid',
    ],
    ['two lengths', { 'Upload-Complete': '?1', 'Upload-Length': '999' }, 400, 'length_invalid'],
    ['more than the length', { 'Upload-Complete': '?0', 'Upload-Length': '999' }, 400, 'length_invalid'],
    ['too long', { 'Upload-Complete': '?0', 'Upload-Length': '1048577' }, 413, 'upload_too_large'],
    [
      'a form',
      { 'Upload-Complete': '?1', 'Content-Type': 'multipart/form-data; boundary=x' },
      415,
      'content_type_invalid',
    ],
    ['gzip', { 'Upload-Complete': '?1', 'Content-Encoding': 'gzip' }, 415, 'content_encoding_invalid'],
    ['a stranger', { 'Upload-Complete': '1', Authorization: undefined }, 401, 'unauthorized'],
  ])('%s', async (_name, fields, status, code) => {
    const answer = await draft(8, 'POST', engine.url, fields, FILE);
    expect([answer.status, problem(answer)['code'], answer.interim]).toEqual([status, code, []]);
    expect(answer.headers['upload-complete']).toBe('?0');
    if (status === 413) expect(answer.headers['upload-limit']).toBe(LIMITS);
    if (code === 'length_invalid')
      expect(problem(answer)['type']).toBe(
        'https://iana.org/assignments/http-problem-types#inconsistent-upload-length',
      );
  });

  it('an Upload-Length that is no integer, where the draft does not ignore it', async () => {
    const fields = { complete: '?0', 'Upload-Length': '10.5' };
    expect((await draft(6, 'POST', engine.url, fields, FILE)).status).toBe(400);
    expect((await draft(8, 'POST', engine.url, fields, FILE)).status).toBe(201);
  });

  it.each<[string, Fields]>([
    ['without an offset', { 'Upload-Complete': '?1' }],
    ['at no integer', { 'Upload-Complete': '?1', 'Upload-Offset': '0x0' }],
    ['at a negative offset', { 'Upload-Complete': '?1', 'Upload-Offset': '-1' }],
    ['without completeness', { 'Upload-Offset': '0' }],
  ])('an append %s', async (_name, fields) => {
    const created = await draft(8, 'POST', engine.url, { complete: '?0' });
    expect((await draft(8, 'PATCH', created.headers['location'] ?? '', fields, FILE)).status).toBe(400);
  });

  it('lengths that change between requests', async () => {
    const created = await draft(8, 'POST', engine.url, { complete: '?0', 'Upload-Length': '1000' });
    const url = created.headers['location'] ?? '';
    const shorter = await draft(8, 'PATCH', url, { complete: '?1', 'Upload-Offset': '0' }, FILE.subarray(1));
    expect([shorter.status, problem(shorter)['code']]).toEqual([400, 'length_invalid']);
    const unsaid = chunked(FILE.subarray(0, 600));
    const ended = await draft(
      8,
      'PATCH',
      url,
      { complete: '?1', 'Upload-Offset': '0', 'Transfer-Encoding': 'chunked' },
      unsaid,
    );
    expect([ended.status, ended.headers['upload-complete']]).toEqual([400, '?0']);
    expect((await draft(8, 'HEAD', url)).headers['upload-offset']).toBe('600');
    const rest = await draft(8, 'PATCH', url, { complete: '?1', 'Upload-Offset': '600' }, FILE.subarray(600));
    expect(rest.status).toBe(201);
    expect(await engine.digest(idOf(created))).toBe(sha256(FILE));
  });

  it('more bytes than were said to come: the upload is void', async () => {
    const created = await draft(8, 'POST', engine.url, { complete: '?0', 'Upload-Length': '999' });
    const url = created.headers['location'] ?? '';
    const answer = await draft(
      8,
      'PATCH',
      url,
      { complete: '?1', 'Upload-Offset': '0', 'Transfer-Encoding': 'chunked' },
      chunked(FILE),
    );
    expect([answer.status, problem(answer)['code'], answer.headers['upload-complete']]).toEqual([
      400,
      'length_invalid',
      '?0',
    ]);
    expect((await draft(8, 'HEAD', url)).status).toBe(410);
    expect(await engine.digest(idOf(created))).toBeUndefined();
    expect(engine.finished).not.toContain(idOf(created));
  });

  it("another owner's upload, on every verb", async () => {
    const created = await draft(8, 'POST', engine.url, { complete: '?0' });
    const url = created.headers['location'] ?? '';
    const bob = { Authorization: 'Bearer bob' };
    expect((await draft(8, 'HEAD', url, bob)).status).toBe(404);
    expect(
      (await draft(8, 'PATCH', url, { ...bob, complete: '?1', 'Upload-Offset': '0' }, FILE)).status,
    ).toBe(404);
    expect((await draft(8, 'DELETE', url, bob)).status).toBe(404);
  });

  it('other methods', async () => {
    const answer = await draft(8, 'PUT', engine.url, { complete: '?1' }, FILE);
    expect([answer.status, answer.headers['allow']]).toEqual([405, 'POST, OPTIONS']);
  });
});

describe('what the client says of its file', () => {
  it.each<[string, Fields, Record<string, string | null>]>([
    [
      'by Content-Disposition and Content-Type',
      { 'Content-Disposition': 'inline; filename="My film.mov"', 'Content-Type': 'video/quicktime; x=y' },
      { filename: 'My film.mov', title: 'My film', filetype: 'video/quicktime' },
    ],
    [
      'in other scripts',
      {
        'Content-Disposition': `attachment; filename="x.mov"; filename*=UTF-8''${encodeURIComponent('фильм.mov')}`,
      },
      { filename: 'фильм.mov', title: 'фильм' },
    ],
    ['in bare UTF-8', { 'Content-Disposition': 'inline; filename="été.mov"' }, { filename: 'été.mov' }],
    ['with a path', { 'Content-Disposition': 'inline; filename="../../etc/a.mov"' }, { filename: 'a.mov' }],
    [
      'not at all',
      { 'Content-Type': 'application/x-www-form-urlencoded' },
      { title: 'Untitled', filetype: null },
    ],
    [
      'by Upload-Metadata, which wins',
      {
        'Content-Disposition': 'inline; filename="a.mov"',
        'Upload-Metadata': metadata({ filename: 'b.mov', title: 'Named', visibility: 'public' }),
      },
      { filename: 'b.mov', title: 'Named', visibility: 'public' },
    ],
  ])('%s', async (_name, fields, expected) => {
    const created = await draft(8, 'POST', engine.url, { complete: '?1', ...fields }, FILE);
    expect(await engine.media(idOf(created))).toMatchObject(expected);
  });
});

describe('together with tus', () => {
  it('goes on with tus where the draft stopped', async () => {
    const created = await draft(8, 'POST', engine.url, {
      ...{ complete: '?0', 'Upload-Length': '1000', 'Content-Disposition': 'inline; filename="a.mov"' },
    });
    const url = created.headers['location'] ?? '';
    await draft(8, 'PATCH', url, { complete: '?0', 'Upload-Offset': '0' }, FILE.subarray(0, 400));
    const head = await tus('HEAD', url);
    expect([offsetOf(head), head.headers.get('upload-length')]).toEqual([400, '1000']);
    expect(head.headers.get('upload-metadata')).toBe(metadata({ filename: 'a.mov' }));
    expect((await patch(url, 400, FILE.subarray(400))).status).toBe(204);
    expect(await engine.digest(idOf(created))).toBe(sha256(FILE));
    expect((await draft(8, 'HEAD', url)).headers['upload-complete']).toBe('?1');
  });

  it('goes on with the draft where tus stopped', async () => {
    const created = await tus('POST', engine.url, { 'Upload-Defer-Length': '1' });
    const url = created.headers.get('location') ?? '';
    await patch(url, 0, FILE.subarray(0, 400));
    const answer = await draft(
      6,
      'PATCH',
      url,
      { complete: '?1', 'Upload-Offset': '400' },
      FILE.subarray(400),
    );
    expect([answer.status, answer.headers['upload-complete']]).toEqual([201, '?1']);
    expect(offsetOf(await tus('HEAD', url))).toBe(1000);
    expect(await engine.digest(url.split('/').at(-1) ?? '')).toBe(sha256(FILE));
  });
});

describe('digests', () => {
  const sha = (bytes: Buffer): string => `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`;

  it('keeps nothing of a body that is not what Content-Digest says', async () => {
    const fields = { 'Content-Digest': sha(FILE.subarray(0, 400)) };
    const created = await draft(8, 'POST', engine.url, { complete: '?0', ...fields }, FILE.subarray(0, 400));
    const url = created.headers['location'] ?? '';
    expect([created.status, created.headers['upload-offset']]).toEqual([201, '400']);
    const wrong = { complete: '?1', 'Upload-Offset': '400', 'Content-Digest': sha(FILE) };
    const refused = await draft(8, 'PATCH', url, wrong, FILE.subarray(400));
    expect([refused.status, problem(refused)['code'], refused.headers['upload-complete']]).toEqual([
      400,
      'digest_mismatch',
      '?0',
    ]);
    expect((await draft(8, 'HEAD', url)).headers['upload-offset']).toBe('400');
    const right = { complete: '?1', 'Upload-Offset': '400', 'Content-Digest': sha(FILE.subarray(400)) };
    expect((await draft(8, 'PATCH', url, right, FILE.subarray(400))).status).toBe(201);
    expect(await engine.digest(idOf(created))).toBe(sha256(FILE));
  });

  it('completes no upload that is not what Repr-Digest says', async () => {
    const good = await draft(8, 'POST', engine.url, { complete: '?1', 'Repr-Digest': sha(FILE) }, FILE);
    expect([good.status, good.headers['upload-complete']]).toEqual([201, '?1']);
    const wrong = { complete: '?1', 'Repr-Digest': sha(FILE.subarray(1)) };
    const bad = await draft(8, 'POST', engine.url, wrong, FILE);
    expect([bad.status, problem(bad)['code']]).toEqual([400, 'digest_mismatch']);
    expect(engine.finished).not.toContain(idOf({ headers: bad.interim[0]?.headers ?? {} }));
  });
});

describe('repeated creations', () => {
  const key = (): Fields => ({ complete: '?1', 'Idempotency-Key': randomBytes(8).toString('hex') });

  it('go on behind what the first one brought', async () => {
    const fields = key();
    const failure = await draft(8, 'POST', engine.url, fields, FILE, { cutAfter: 450, waits: true }).catch(
      (error: unknown) => error,
    );
    const [first] = (failure as CutError).interim;
    const again = await draft(8, 'POST', engine.url, fields, FILE);
    expect([again.status, again.headers['location'], again.headers['upload-complete']]).toEqual([
      ...[201, first?.headers['location'], '?1'],
    ]);
    expect(await engine.digest(idOf(again))).toBe(sha256(FILE));
  });

  it('are answered as the first one was', async () => {
    const fields = key();
    const first = await draft(8, 'POST', engine.url, fields, FILE);
    const again = await draft(8, 'POST', engine.url, fields, FILE);
    expect([again.status, said(again)]).toEqual([first.status, said(first)]);
    expect(engine.finished.filter((id) => id === idOf(first))).toHaveLength(1);
  });
});

describe('while bytes arrive', () => {
  it('keeps them to the last one when the connection breaks', async () => {
    const headers = {
      Authorization: 'Bearer alice',
      'Upload-Draft-Interop-Version': '8',
      'Upload-Complete': '?1',
    };
    const client = request(engine.url, { method: 'POST', headers: { ...headers, 'Content-Length': '1000' } });
    client.on('error', () => undefined).write(FILE.subarray(0, 300));
    const [{ headers: first }] = (await once(client, 'information')) as [{ headers: Record<string, string> }];
    const id = idOf({ headers: first });
    await eventually(async () => (await engine.row(id)).offset === 300);
    client.write(FILE.subarray(300, 421), () => client.destroy());
    const stands = await draft(8, 'HEAD', first['location'] ?? '');
    expect([stands.headers['upload-offset'], stands.headers['upload-complete']]).toEqual(['421', '?0']);
  });

  it('tells the committed offset, and lets a new request take over', async () => {
    const told: string[] = [];
    const slow = draft(
      8,
      'POST',
      engine.url,
      { complete: '?1', 'Content-Length': '1000' },
      FILE.subarray(0, 600),
      { onInterim: ({ headers }) => told.push(headers['upload-offset'] ?? headers['location'] ?? '') },
    ).catch((error: unknown) => error);
    await eventually(() => Promise.resolve(told.length > 1));
    expect(told).toEqual([expect.stringContaining('/files/'), '600']);
    const url = told[0] ?? '';
    const stands = await draft(8, 'HEAD', url);
    expect(stands.headers['upload-offset']).toBe('600');
    expect(await slow).toBeInstanceOf(CutError); // a 503 would end the upload of an iPhone
    const rest = await draft(8, 'PATCH', url, { complete: '?1', 'Upload-Offset': '600' }, FILE.subarray(600));
    expect(rest.status).toBe(201);
    expect(await engine.digest(url.split('/').at(-1) ?? '')).toBe(sha256(FILE));
  });

  it('tells no offsets to the versions that have none', async () => {
    const told: Record<string, string>[] = [];
    const slow = draft(
      3,
      'POST',
      engine.url,
      { complete: '?1', 'Content-Length': '1000' },
      FILE.subarray(0, 600),
      {
        onInterim: ({ headers }) => told.push(headers),
      },
    ).catch((error: unknown) => error);
    await eventually(() => Promise.resolve(told.length === 1));
    const url = told[0]?.['location'] ?? '';
    await eventually(async () => (await engine.row(url.split('/').at(-1) ?? '')).offset === 600);
    expect((await draft(3, 'DELETE', url)).status).toBe(204);
    await slow;
    expect(told).toHaveLength(1);
  });
});
