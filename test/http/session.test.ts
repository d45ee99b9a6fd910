/** Browsers: logging in and out, what other sites may not do, and guessing. */
import { SignJWT } from 'jose';
import request from 'supertest';
import { revokeKey } from '../../server/auth/keys.ts';
import { sessionValue } from '../../server/auth/session.ts';
import { A_STRING, type Answer, codeOf, JWT_SECRET, makeMedia, openTestApp, type TestApp } from './app.ts';

describe('sessions', () => {
  let test: TestApp;
  beforeEach(async () => (test = await openTestApp('sqlite')));
  afterEach(() => test.close());

  const login = (key = test.keys.ann) => request(test.app).post('/api/session').send({ key });
  const cookieOf = ({ headers }: { headers: Record<string, unknown> }) =>
    String((headers['set-cookie'] as string[] | undefined)?.[0]);
  const session = async () => cookieOf(await login()).split(';')[0] ?? '';
  const me = (Cookie: string) => request(test.app).get('/api/me').set({ Cookie });

  it('start with a key and are the key’s owner', async () => {
    const answer = await login();
    expect(answer.body).toMatchObject({ owner: 'ann', scopes: ['upload', 'read'] });
    expect(cookieOf(answer)).toMatch(
      /^millrace_session=[^;]+; Max-Age=2592000; Path=\/; Expires=[^;]+; HttpOnly; SameSite=Lax$/,
    );
    expect(cookieOf(answer)).not.toContain(test.keys.ann);
    expect((await me(await session())).body).toEqual({
      owner: 'ann',
      scopes: ['upload', 'read'],
      keyId: A_STRING,
      limits: { maxUploadSize: 64 * 1024 ** 3, metadataMax: 8192 },
    });
  });

  it('are not started by a wrong key', async () => {
    const { status, body, headers } = (await login('mr_wrong')) as Answer;
    expect([status, codeOf(body)]).toEqual([401, 'invalid_key']);
    expect(headers).not.toHaveProperty('set-cookie');
  });

  it('end with their key, with their time, and by logging out', async () => {
    const cookie = await session();
    const { keyId } = (await me(cookie)).body as { keyId: string };
    const old = sessionValue(test.ctx.secret, keyId, Date.now() - 1);
    expect((await me(`millrace_session=${old}`)).body).toMatchObject({
      status: 401,
      code: 'session_expired',
    });
    const out = await request(test.app).delete('/api/session').set({ Cookie: cookie });
    expect([out.status, cookieOf(out)]).toEqual([204, expect.stringContaining('millrace_session=; ')]);
    await revokeKey(test.ctx.db, keyId);
    expect((await me(cookie)).status).toBe(401);
  });

  it('are marked Secure behind HTTPS', async () => {
    const proxied = await openTestApp('sqlite', { TRUST_PROXY: '1' });
    const answer = await request(proxied.app)
      .post('/api/session')
      .set('X-Forwarded-Proto', 'https')
      .send({ key: proxied.keys.ann });
    expect(cookieOf(answer)).toContain('; Secure');
    await proxied.close();
    const forged = await login().set('X-Forwarded-Proto', 'https'); // no proxy is trusted here
    expect(cookieOf(forged)).not.toContain('Secure');
  });

  it('give way to an Authorization header', async () => {
    const { body } = (await me(await session()).set(test.as.bob)) as Answer;
    expect(body).toMatchObject({ owner: 'bob' });
  });

  describe('started by a link', () => {
    it.each([
      ['/?key={key}', '/'],
      ['/login?key={key}', '/'],
      ['/admin?status=failed&key={key}&q=a%20b', '/admin?status=failed&q=a+b'],
      ['/watch/x?key={key}', '/watch/x'],
    ])('%s leads to the page without the key', async (link, page) => {
      const answer = await request(test.app).get(link.replace('{key}', test.keys.ann));
      expect([answer.status, answer.headers.location, answer.headers['cache-control']]).toEqual([
        303,
        page,
        'no-store',
      ]);
      expect(answer.headers['referrer-policy']).toBe('no-referrer');
      expect((await me(cookieOf(answer).split(';')[0] ?? '')).body).toMatchObject({ owner: 'ann' });
    });

    it('with a wrong key leads to the login page', async () => {
      const { status, headers } = await request(test.app).get('/?key=wrong');
      expect([status, headers.location]).toEqual([303, '/login?error=invalid_key']);
      expect(headers).not.toHaveProperty('set-cookie');
    });

    it('never leads to another site', async () => {
      for (const path of ['//evil.test?key=', '/\\evil.test?key=', '/watch//evil.test?key='])
        expect((await request(test.app).get(path + test.keys.ann)).headers.location ?? '/').toMatch(
          /^\/(?![/\\])/,
        );
    });
  });

  it('leave no key and no token in the log', async () => {
    await request(test.app).get(`/?key=${test.keys.ann}&x=1`);
    await request(test.app).get(`/media/x/poster.jpg?token=secret-token`).set(test.as.ann);
    const said = JSON.stringify(test.log);
    expect(said).not.toContain(test.keys.ann);
    expect(said).not.toContain('secret-token');
    expect(test.log).toContainEqual(
      expect.objectContaining({ method: 'GET', path: '/?key=…&x=1', status: 303 }),
    );
  });

  describe('used by another site', () => {
    const own = { Host: 'millrace.test' };
    const rename = async (headers: Record<string, string>) => {
      const media = await makeMedia(test.ctx);
      return request(test.app)
        .patch(`/api/media/${media.id}`)
        .set({ ...own, ...headers })
        .send({ title: 'Renamed' });
    };

    it.each([
      ['Sec-Fetch-Site: cross-site', { 'Sec-Fetch-Site': 'cross-site' }],
      ['Sec-Fetch-Site: same-site', { 'Sec-Fetch-Site': 'same-site', Origin: 'http://millrace.test' }],
      ['another Origin', { Origin: 'http://evil.test' }],
      ['another port', { Origin: 'http://millrace.test:81' }],
      ['Origin: null', { Origin: 'null' }],
    ])('are refused (%s)', async (_, headers) => {
      const { status, body } = (await rename({ Cookie: await session(), ...headers })) as Answer;
      expect([status, codeOf(body)]).toEqual([403, 'cross_origin']);
    });

    it.each([
      ['a page of ours', { 'Sec-Fetch-Site': 'same-origin' }],
      ['an older browser', { Origin: 'http://millrace.test' }],
      ['a program', {}],
    ])('work for %s', async (_, headers) => {
      expect((await rename({ Cookie: await session(), ...headers })).status).toBe(200);
    });

    it('don’t matter to keys, which other sites don’t have', async () => {
      expect((await rename({ ...test.as.ann, 'Sec-Fetch-Site': 'cross-site' })).status).toBe(200);
    });

    it('are refused for uploads too', async () => {
      const asked = request(test.app)
        .post('/files')
        .set({ Cookie: await session(), Origin: 'http://evil.test' });
      expect((await asked).status).toBe(403);
    });
  });
});

describe('tokens of the host application', () => {
  it('are its users', async () => {
    const test = await openTestApp('sqlite');
    const token = await new SignJWT({ sub: 'ann', scope: 'read' })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(new TextEncoder().encode(JWT_SECRET));
    const media = await makeMedia(test.ctx);
    const Authorization = `bearer ${token}`;
    expect((await request(test.app).get(`/api/media/${media.id}`).set({ Authorization })).status).toBe(200);
    expect((await request(test.app).delete(`/api/media/${media.id}`).set({ Authorization })).status).toBe(
      403,
    );
    await test.close();
  });
});

describe('guessing', () => {
  let test: TestApp;
  beforeEach(async () => (test = await openTestApp('sqlite', { TRUST_PROXY: '1' })));
  afterEach(() => test.close());

  const guess = (address: string, token = 'mr_wrong') =>
    request(test.app)
      .get('/api/me')
      .set({ Authorization: `Bearer ${token}`, 'X-Forwarded-For': address });

  it('ends after twenty wrong keys from one address, whichever way they were tried', async () => {
    for (let i = 0; i < 18; i++) expect((await guess('203.0.113.1', `mr_wrong${i}`)).status).toBe(401);
    await request(test.app).post('/api/session').set('X-Forwarded-For', '203.0.113.1').send({ key: 'x' });
    await request(test.app).get('/?key=y').set('X-Forwarded-For', '203.0.113.1');
    const { status, headers, body } = (await guess('203.0.113.1', test.keys.ann)) as Answer;
    expect([status, codeOf(body)]).toEqual([429, 'too_many_failures']);
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    expect(Number(headers['retry-after'])).toBeLessThanOrEqual(60);
    expect((await guess('203.0.113.2', test.keys.ann)).status).toBe(200);
  });

  it('counts an IPv6 network as one address', async () => {
    for (let i = 0; i < 20; i++) await guess(`2001:db8:0:1::${i}`, `mr_wrong${i}`);
    expect((await guess('2001:db8:0:1::ffff')).status).toBe(429);
    expect((await guess('2001:db8:1:1::1')).status).toBe(401);
  });

  it('does not hold up those who are right, who repeat an old key, or who have none', async () => {
    for (let i = 0; i < 30; i++) expect((await guess('203.0.113.3')).status).toBe(401);
    await Promise.all(Array.from({ length: 60 }, () => guess('203.0.113.3', test.keys.ann)));
    expect((await guess('203.0.113.3', test.keys.ann)).status).toBe(200);
    for (let i = 0; i < 30; i++) await request(test.app).get('/api/me').set('X-Forwarded-For', '203.0.113.4');
    expect((await guess('203.0.113.4', test.keys.ann)).status).toBe(200);
  });
});
