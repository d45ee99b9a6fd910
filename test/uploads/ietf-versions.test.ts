/** Resumable uploads of the IETF, each version on the wire as its text has it. */
import { randomBytes } from 'node:crypto';
import { sha256, useEngine } from './harness.ts';
import { createdId, draft, DRAFT_ENGINE, problem, said } from './ietf-requests.ts';
import { chunked, CutError, wire } from './wire.ts';

const stage = useEngine('disk', DRAFT_ENGINE);

const FILE = randomBytes(1000);
const LIMITS = 'max-size=1048576';
const UNKNOWN = '01920000-0000-7000-8000-000000000000';

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
    const answer = await draft(version, 'POST', stage.engine.url, { complete: '?1' }, FILE);
    const location = `${stage.engine.url}/${createdId(answer)}`;
    expect(answer.interim).toHaveLength(1);
    expect(answer.interim[0]).toMatchObject({ status: 104, reason: 'Upload Resumption Supported', body: '' });
    expect(near(answer.interim[0]?.headers ?? {})).toEqual({ ...interop, location, ...limit });
    expect(answer.status).toBe(201);
    expect(said(answer)).toEqual({
      ...{ ...interop, location, ...limitDone, [field]: yes, 'upload-offset': '1000' },
      'content-type': 'application/json',
    });
    expect(JSON.parse(answer.body)).toEqual({ id: createdId(answer) });
    expect(await stage.engine.digest(createdId(answer))).toBe(sha256(FILE));
    expect(stage.engine.finished.filter((id) => id === createdId(answer))).toHaveLength(1);
  });

  it('takes a file in parts and tells where it stands', async () => {
    const created = await draft(
      version,
      'POST',
      stage.engine.url,
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
    expect(await stage.engine.digest(createdId(created))).toBe(sha256(FILE));

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
      stage.engine.url,
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
    expect(await stage.engine.digest(createdId(created))).toBe(sha256(FILE));
  });

  it('is completed by an empty append, and by an empty creation', async () => {
    const created = await draft(version, 'POST', stage.engine.url, { complete: '?0' }, FILE);
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
    expect(await stage.engine.digest(createdId(created))).toBe(sha256(FILE));

    const empty = await draft(version, 'POST', stage.engine.url, { complete: '?1' }, Buffer.alloc(0));
    expect([empty.status, empty.headers['upload-offset'], empty.headers[field]]).toEqual([201, '0', yes]);
    expect(await stage.engine.digest(createdId(empty))).toBe(sha256(Buffer.alloc(0)));
  });

  it('goes on after the connection broke', async () => {
    const failure = await draft(version, 'POST', stage.engine.url, { complete: '?1' }, FILE, {
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
    expect(await stage.engine.digest(createdId({ headers: first?.headers ?? {} }))).toBe(sha256(FILE));
  });

  it('refuses an append elsewhere, with both offsets', async () => {
    const created = await draft(version, 'POST', stage.engine.url, { complete: '?0' }, FILE.subarray(0, 10));
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
    const created = await draft(version, 'POST', stage.engine.url, { complete: '?1' }, FILE);
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
    expect(await stage.engine.digest(createdId(created))).toBe(sha256(FILE));
    expect(stage.engine.finished.filter((id) => id === createdId(created))).toHaveLength(1);
  });

  it('cancels', async () => {
    const created = await draft(version, 'POST', stage.engine.url, { complete: '?0' }, FILE);
    const url = created.headers['location'] ?? '';
    expect((await draft(version, 'DELETE', url)).status).toBe(204);
    expect((await draft(version, 'HEAD', url)).status).toBe(version <= 6 ? 404 : 410);
    expect((await draft(version, 'HEAD', `${stage.engine.url}/${UNKNOWN}`)).status).toBe(404);
  });

  it('minds the fields that HEAD and DELETE may not have', async () => {
    const created = await draft(version, 'POST', stage.engine.url, { complete: '?0' }, FILE);
    const url = created.headers['location'] ?? '';
    const expected = version <= 6 ? 400 : 204;
    expect((await draft(version, 'HEAD', url, { 'Upload-Offset': '0' })).status).toBe(expected);
    expect((await draft(version, 'DELETE', url, { complete: '?1' })).status).toBe(expected);
  });

  it('knows an append by its media type', async () => {
    const created = await draft(version, 'POST', stage.engine.url, { complete: '?0' }, FILE);
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
    const answer = await draft(undefined, 'POST', stage.engine.url, fields, FILE);
    expect([answer.status, answer.interim, answer.headers['upload-complete']]).toEqual([201, [], '?1']);
    expect(answer.headers['upload-draft-interop-version']).toBeUndefined();
    expect(await stage.engine.digest(createdId(answer))).toBe(sha256(FILE));
  });

  it('goes on, asks and cancels by the wording of the newest draft', async () => {
    const created = await draft(undefined, 'POST', stage.engine.url, { complete: '?0' });
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
    const answer = await draft(8, 'POST', stage.engine.url, { complete: '?1' }, FILE, { version: '1.0' });
    expect([answer.status, answer.interim]).toEqual([201, []]);
  });

  it('sends 100 as well as 104 to a client that expects it', async () => {
    const fields = { complete: '?1', Expect: '100-continue' };
    const answer = await draft(8, 'POST', stage.engine.url, fields, FILE, { waits: true });
    expect(answer.interim.map(({ status }) => status)).toEqual([100, 104]);
    expect(answer.status).toBe(201);
  });

  it('answers OPTIONS with the limits', async () => {
    const answer = await wire('OPTIONS', stage.engine.url, {});
    expect(answer.headers['upload-limit']).toBe(`${LIMITS}, max-age=3600`);
    expect(answer.headers['accept-patch']).toBe(
      'application/partial-upload, application/offset+octet-stream',
    );
    expect(answer.headers['access-control-allow-headers']).toContain('Upload-Complete');
  });
});
