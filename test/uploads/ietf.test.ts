/** Resumable uploads of the IETF: what is refused, what is said of files, digests, repeats, and tus beside it. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { eventually } from '../server.ts';
import { idOf, metadata, offsetOf, patch, sha256, tus, useEngine } from './harness.ts';
import { createdId, draft, DRAFT_ENGINE, problem, said } from './ietf-requests.ts';
import { chunked, CutError, type Fields } from './wire.ts';

const stage = useEngine('disk', DRAFT_ENGINE);

const FILE = randomBytes(1000);
const LIMITS = 'max-size=1048576';

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
    const answer = await draft(8, 'POST', stage.engine.url, fields, FILE);
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
    expect((await draft(6, 'POST', stage.engine.url, fields, FILE)).status).toBe(400);
    expect((await draft(8, 'POST', stage.engine.url, fields, FILE)).status).toBe(201);
  });

  it.each<[string, Fields]>([
    ['without an offset', { 'Upload-Complete': '?1' }],
    ['at no integer', { 'Upload-Complete': '?1', 'Upload-Offset': '0x0' }],
    ['at a negative offset', { 'Upload-Complete': '?1', 'Upload-Offset': '-1' }],
    ['without completeness', { 'Upload-Offset': '0' }],
  ])('an append %s', async (_name, fields) => {
    const created = await draft(8, 'POST', stage.engine.url, { complete: '?0' });
    expect((await draft(8, 'PATCH', created.headers['location'] ?? '', fields, FILE)).status).toBe(400);
  });

  it('lengths that change between requests', async () => {
    const created = await draft(8, 'POST', stage.engine.url, { complete: '?0', 'Upload-Length': '1000' });
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
    expect(await stage.engine.digest(createdId(created))).toBe(sha256(FILE));
  });

  it('more bytes than were said to come: the upload is void', async () => {
    const created = await draft(8, 'POST', stage.engine.url, { complete: '?0', 'Upload-Length': '999' });
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
    expect(await stage.engine.digest(createdId(created))).toBeUndefined();
    expect(stage.engine.finished).not.toContain(createdId(created));
  });

  it("another owner's upload, on every verb", async () => {
    const created = await draft(8, 'POST', stage.engine.url, { complete: '?0' });
    const url = created.headers['location'] ?? '';
    const bob = { Authorization: 'Bearer bob' };
    expect((await draft(8, 'HEAD', url, bob)).status).toBe(404);
    expect(
      (await draft(8, 'PATCH', url, { ...bob, complete: '?1', 'Upload-Offset': '0' }, FILE)).status,
    ).toBe(404);
    expect((await draft(8, 'DELETE', url, bob)).status).toBe(404);
  });

  it('other methods', async () => {
    const answer = await draft(8, 'PUT', stage.engine.url, { complete: '?1' }, FILE);
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
    const created = await draft(8, 'POST', stage.engine.url, { complete: '?1', ...fields }, FILE);
    expect(await stage.engine.media(createdId(created))).toMatchObject(expected);
  });
});

describe('together with tus', () => {
  it('goes on with tus where the draft stopped', async () => {
    const created = await draft(8, 'POST', stage.engine.url, {
      ...{ complete: '?0', 'Upload-Length': '1000', 'Content-Disposition': 'inline; filename="a.mov"' },
    });
    const url = created.headers['location'] ?? '';
    await draft(8, 'PATCH', url, { complete: '?0', 'Upload-Offset': '0' }, FILE.subarray(0, 400));
    const head = await tus('HEAD', url);
    expect([offsetOf(head), head.headers.get('upload-length')]).toEqual([400, '1000']);
    expect(head.headers.get('upload-metadata')).toBe(metadata({ filename: 'a.mov' }));
    expect((await patch(url, 400, FILE.subarray(400))).status).toBe(204);
    expect(await stage.engine.digest(createdId(created))).toBe(sha256(FILE));
    expect((await draft(8, 'HEAD', url)).headers['upload-complete']).toBe('?1');
  });

  it('goes on with the draft where tus stopped', async () => {
    const created = await tus('POST', stage.engine.url, { 'Upload-Defer-Length': '1' });
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
    expect(await stage.engine.digest(idOf(url))).toBe(sha256(FILE));
  });
});

describe('digests', () => {
  const sha = (bytes: Buffer): string => `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`;

  it('keeps nothing of a body that is not what Content-Digest says', async () => {
    const fields = { 'Content-Digest': sha(FILE.subarray(0, 400)) };
    const created = await draft(
      8,
      'POST',
      stage.engine.url,
      { complete: '?0', ...fields },
      FILE.subarray(0, 400),
    );
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
    expect(await stage.engine.digest(createdId(created))).toBe(sha256(FILE));
  });

  it('completes no upload that is not what Repr-Digest says', async () => {
    const good = await draft(8, 'POST', stage.engine.url, { complete: '?1', 'Repr-Digest': sha(FILE) }, FILE);
    expect([good.status, good.headers['upload-complete']]).toEqual([201, '?1']);
    const wrong = { complete: '?1', 'Repr-Digest': sha(FILE.subarray(1)) };
    const bad = await draft(8, 'POST', stage.engine.url, wrong, FILE);
    expect([bad.status, problem(bad)['code']]).toEqual([400, 'digest_mismatch']);
    expect(stage.engine.finished).not.toContain(createdId({ headers: bad.interim[0]?.headers ?? {} }));
  });
});

describe('repeated creations', () => {
  const key = (): Fields => ({ complete: '?1', 'Idempotency-Key': randomBytes(8).toString('hex') });

  it('go on behind what the first one brought', async () => {
    const fields = key();
    const failure = await draft(8, 'POST', stage.engine.url, fields, FILE, {
      cutAfter: 450,
      waits: true,
    }).catch((error: unknown) => error);
    const [first] = (failure as CutError).interim;
    const again = await draft(8, 'POST', stage.engine.url, fields, FILE);
    expect([again.status, again.headers['location'], again.headers['upload-complete']]).toEqual([
      ...[201, first?.headers['location'], '?1'],
    ]);
    expect(await stage.engine.digest(createdId(again))).toBe(sha256(FILE));
  });

  it('are answered as the first one was', async () => {
    const fields = key();
    const first = await draft(8, 'POST', stage.engine.url, fields, FILE);
    const again = await draft(8, 'POST', stage.engine.url, fields, FILE);
    expect([again.status, said(again)]).toEqual([first.status, said(first)]);
    expect(stage.engine.finished.filter((id) => id === createdId(first))).toHaveLength(1);
  });
});

describe('while bytes arrive', () => {
  it('keeps them to the last one when the connection breaks', async () => {
    const headers = {
      Authorization: 'Bearer alice',
      'Upload-Draft-Interop-Version': '8',
      'Upload-Complete': '?1',
    };
    const client = request(stage.engine.url, {
      method: 'POST',
      headers: { ...headers, 'Content-Length': '1000' },
    });
    client.on('error', () => undefined).write(FILE.subarray(0, 300));
    const [{ headers: first }] = (await once(client, 'information')) as [{ headers: Record<string, string> }];
    const id = createdId({ headers: first });
    await eventually(async () => (await stage.engine.row(id)).offset === 300);
    client.write(FILE.subarray(300, 421), () => client.destroy());
    const stands = await draft(8, 'HEAD', first['location'] ?? '');
    expect([stands.headers['upload-offset'], stands.headers['upload-complete']]).toEqual(['421', '?0']);
  });

  it('tells the committed offset, and lets a new request take over', async () => {
    const told: string[] = [];
    const slow = draft(
      8,
      'POST',
      stage.engine.url,
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
    expect(await stage.engine.digest(idOf(url))).toBe(sha256(FILE));
  });

  it('tells no offsets to the versions that have none', async () => {
    const told: Record<string, string>[] = [];
    const slow = draft(
      3,
      'POST',
      stage.engine.url,
      { complete: '?1', 'Content-Length': '1000' },
      FILE.subarray(0, 600),
      {
        onInterim: ({ headers }) => told.push(headers),
      },
    ).catch((error: unknown) => error);
    await eventually(() => Promise.resolve(told.length === 1));
    const url = told[0]?.['location'] ?? '';
    await eventually(async () => (await stage.engine.row(idOf(url))).offset === 600);
    expect((await draft(3, 'DELETE', url)).status).toBe(204);
    await slow;
    expect(told).toHaveLength(1);
  });
});
