/** Whatever is sent, the answer says what is wrong with it, and the server lives. */
import request from 'supertest';
import { newId } from '../../server/ids.ts';
import { DIALECTS } from '../databases.ts';
import { A_LIST, type Answer, codeOf, makeMedia, openTestApp, type TestApp } from './app.ts';

interface Wrong {
  method?: 'get' | 'post' | 'patch' | 'delete';
  path: string;
  body?: unknown;
  type?: string;
  status: number;
  code: string;
}

const TABLE: Wrong[] = [
  { path: '/api/nothing', status: 404, code: 'not_found' },
  { path: '/api/media/not-an-id', status: 404, code: 'not_found' },
  { path: '/api/media/..%2f..%2fetc%2fpasswd', status: 404, code: 'not_found' },
  { path: '/api/media/%00', status: 404, code: 'not_found' },
  { path: '/api/media/%zz', status: 400, code: 'malformed_url' },
  { path: `/api/media/${newId().toUpperCase()}`, status: 404, code: 'not_found' },
  { path: '/api/jobs/1', status: 404, code: 'not_found' },
  { path: '/api/media?limit=0', status: 400, code: 'invalid_input' },
  { path: '/api/media?limit=101', status: 400, code: 'invalid_input' },
  { path: '/api/media?limit=ten', status: 400, code: 'invalid_input' },
  { path: '/api/media?stauts=failed', status: 400, code: 'invalid_input' },
  { path: '/api/media?limit=1&limit=2', status: 400, code: 'invalid_input' },
  { path: "/api/media?cursor=' or 1=1", status: 400, code: 'invalid_input' },
  { path: '/api/media?status=done', status: 400, code: 'invalid_input' },
  { path: '/api/media?q=%00', status: 400, code: 'invalid_input' },
  { path: `/api/media?q=${'x'.repeat(201)}`, status: 400, code: 'invalid_input' },
  { path: '/api/jobs?media=x', status: 400, code: 'invalid_input' },
  { path: '/api/jobs?status=running,dead', status: 400, code: 'invalid_input' },
  { path: '/api/jobs?task=%00', status: 400, code: 'invalid_input' },
  { method: 'patch', path: '/api/media/{media}', body: '{"title":', status: 400, code: 'invalid_json' },
  { method: 'patch', path: '/api/media/{media}', body: '"text"', status: 400, code: 'invalid_json' },
  { method: 'patch', path: '/api/media/{media}', body: '[]', status: 400, code: 'invalid_input' },
  { method: 'patch', path: '/api/media/{media}', body: {}, status: 400, code: 'invalid_input' },
  { method: 'patch', path: '/api/media/{media}', body: { title: '  ' }, status: 400, code: 'invalid_input' },
  {
    method: 'patch',
    path: '/api/media/{media}',
    body: { title: 'a\u0000b' },
    status: 400,
    code: 'invalid_input',
  },
  {
    method: 'patch',
    path: '/api/media/{media}',
    body: { title: 'x'.repeat(501) },
    status: 400,
    code: 'invalid_input',
  },
  { method: 'patch', path: '/api/media/{media}', body: { title: 7 }, status: 400, code: 'invalid_input' },
  {
    method: 'patch',
    path: '/api/media/{media}',
    body: { status: 'ready' },
    status: 400,
    code: 'invalid_input',
  },
  {
    method: 'patch',
    path: '/api/media/{media}',
    body: { visibility: 'secret' },
    status: 400,
    code: 'invalid_input',
  },
  {
    method: 'patch',
    path: '/api/media/{media}',
    body: 'title=x',
    type: 'application/x-www-form-urlencoded',
    status: 415,
    code: 'unsupported_media_type',
  },
  {
    method: 'patch',
    path: '/api/media/{media}',
    body: '<x/>',
    type: 'text/xml',
    status: 415,
    code: 'unsupported_media_type',
  },
  {
    method: 'patch',
    path: '/api/media/{media}',
    body: '{}',
    type: 'application/json; charset=latin1',
    status: 415,
    code: 'unsupported_charset',
  },
  {
    method: 'patch',
    path: '/api/media/{media}',
    body: { title: 'x'.repeat(200_000) },
    status: 413,
    code: 'body_too_large',
  },
  { method: 'post', path: '/api/session', body: {}, status: 400, code: 'invalid_input' },
  { method: 'post', path: '/api/session', body: { key: { $gt: '' } }, status: 400, code: 'invalid_input' },
  { method: 'post', path: '/api/session', body: { key: '\u0000' }, status: 401, code: 'invalid_key' },
  {
    method: 'post',
    path: '/api/keys',
    body: { name: 'x', scopes: ['root'] },
    status: 400,
    code: 'invalid_input',
  },
  { method: 'post', path: '/api/keys', body: { name: 'x', scopes: [] }, status: 400, code: 'invalid_input' },
  {
    method: 'post',
    path: '/api/keys',
    body: { name: 'x', owner: 'a\nb' },
    status: 400,
    code: 'invalid_input',
  },
  { method: 'post', path: '/api/keys', body: { name: 'ADMIN_KEY' }, status: 400, code: 'reserved_name' },
  { method: 'delete', path: '/api/keys/1', status: 404, code: 'not_found' },
];

describe.each(DIALECTS)('bad input on %s', (dialect) => {
  let test: TestApp;
  let media: string;
  beforeAll(async () => {
    test = await openTestApp(dialect);
    media = (await makeMedia(test.ctx)).id;
  });
  afterAll(() => test.close());

  it.each(
    TABLE.map(
      (row) =>
        [
          `${row.method ?? 'get'} ${row.path.slice(0, 50)} ${JSON.stringify(row.body)?.slice(0, 40) ?? ''}`,
          row,
        ] as const,
    ),
  )('%s', async (_, { method = 'get', path, body, type, status, code }) => {
    const asked = request(test.app)[method](path.replace('{media}', media)).set(test.as.admin);
    if (body !== undefined) asked.type(type ?? 'application/json').send(body as object);
    const answer = await asked;
    expect(answer.body).toEqual({
      type: `urn:millrace:error:${code}`,
      title: code.replaceAll('_', ' '),
      status,
      code,
      detail: expect.stringMatching(/^[A-Z].*\.$/s) as unknown,
      requestId: answer.headers['x-request-id'],
      ...(code === 'invalid_input' ? { errors: A_LIST } : {}),
    });
    expect([answer.status, answer.type]).toEqual([status, 'application/problem+json']);
  });

  it.each([
    ['Basic YTpi', 'unauthorized'],
    ['Bearer', 'unauthorized'],
    ['Bearer a b', 'unauthorized'],
    ['Bearer mr_nobody', 'invalid_key'],
    ['Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.', 'invalid_token'],
  ])('Authorization: %s', async (Authorization, code) => {
    const { status, body, headers } = (await request(test.app)
      .get('/api/me')
      .set({ Authorization })) as Answer;
    expect([status, codeOf(body)]).toEqual([401, code]);
    expect(headers['www-authenticate']).toMatch(/^Bearer realm="millrace"/);
  });

  it('says nothing about an error of its own, and logs it', async () => {
    const broken = await openTestApp(
      'sqlite',
      {},
      { readiness: () => Promise.reject(new Error('secret detail')) },
    );
    const { status, text, headers } = await request(broken.app).get('/readyz');
    expect([status, (JSON.parse(text) as { code: string }).code]).toEqual([500, 'internal']);
    expect(text).not.toContain('secret detail');
    const requestId = headers['x-request-id'] as string;
    const logged = broken.log.find((line) => line.err);
    expect(logged).toMatchObject({ requestId, err: { message: 'secret detail' } });
    await broken.close();
  });

  it('keeps a proxy’s request id when it is a harmless one', async () => {
    const idOf = async (given: string) =>
      (await request(test.app).get('/livez').set('X-Request-Id', given)).headers['x-request-id'] as unknown;
    expect(await idOf('proxy-id-12345')).toBe('proxy-id-12345');
    expect(await idOf('<script>alert</script>')).toMatch(/^[0-9a-f-]{36}$/);
  });
});
