import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { SignJWT, UnsecuredJWT, exportJWK, generateKeyPair, type JWTPayload } from 'jose';
import type { Config } from '../config.ts';
import { createJwtVerifier, looksLikeJwt } from './jwt.ts';

const SECRET = 'a secret of at least thirty-two bytes';
const bytes = (text: string) => new TextEncoder().encode(text);

const verifier = (jwt: Partial<Config['auth']['jwt']>) => {
  const verify = createJwtVerifier({ jwt } as Config['auth']);
  if (!verify) throw new Error('JWTs are off');
  return verify;
};

const signed = (claims: JWTPayload = {}, secret = SECRET, alg = 'HS256') =>
  new SignJWT({ sub: 'ann', ...claims }).setProtectedHeader({ alg }).sign(bytes(secret));

const inSeconds = (s: number) => Math.floor(Date.now() / 1000) + s;

describe('tokens signed with JWT_SECRET', () => {
  const verify = verifier({ secret: SECRET });

  it('name the owner; without scopes they may upload and read', async () => {
    const principal = await verify(await signed({ exp: inSeconds(60) }));
    expect(principal).toEqual({ owner: 'ann', scopes: new Set(['upload', 'read']) });
  });

  it.each<[string, JWTPayload, string[]]>([
    ['scope as words', { scope: 'read' }, ['read']],
    ['scopes as a list', { scopes: ['upload'] }, ['upload']],
    ['admin, when it says so', { scope: 'admin' }, ['admin']],
    ['only words of ours', { scope: 'openid read superuser' }, ['read']],
    ['no word of ours', { scope: 'openid profile' }, []],
  ])('take scopes from the claims: %s', async (_, claims, scopes) => {
    expect([...(await verify(await signed(claims))).scopes]).toEqual(scopes);
  });

  it('may say how many bytes their owner may have', async () => {
    expect(await verify(await signed({ millrace_quota: 5_000_000_000 }))).toMatchObject({
      quota: 5_000_000_000,
    });
  });

  it.each<[string, () => Promise<string> | string, string]>([
    ['a quota that is no number', () => signed({ millrace_quota: '5GB' }), 'invalid_token'],
    ['an expired one', () => signed({ exp: inSeconds(-60) }), 'token_expired'],
    ['one that is not valid yet', () => signed({ nbf: inSeconds(60) }), 'invalid_token'],
    ['another secret', () => signed({}, 'another secret of thirty-two bytes!!'), 'invalid_token'],
    ['no signature (alg none)', () => new UnsecuredJWT({ sub: 'ann' }).encode(), 'invalid_token'],
    ['another HMAC', () => signed({}, SECRET.repeat(2), 'HS512'), 'invalid_token'],
    ['no sub', () => signed({ sub: undefined }), 'invalid_token'],
    ['an empty sub', () => signed({ sub: ' ' }), 'invalid_token'],
    ['control characters in sub', () => signed({ sub: 'a\u0000b' }), 'invalid_token'],
    ['a very long sub', () => signed({ sub: 'a'.repeat(201) }), 'invalid_token'],
    [
      'an altered payload',
      async () => (await signed()).replace(/\..+\./, `.${btoa('{"sub":"bob"}')}.`),
      'invalid_token',
    ],
    ['garbage', () => 'eyJhbGciOiJIUzI1NiJ9.e30.', 'invalid_token'],
    ['a header that is no JSON', () => 'eyJxx.e30.abc', 'invalid_token'],
  ])('are refused with %s', async (_, make, code) => {
    await expect(verify(await make())).rejects.toMatchObject({ status: 401, code });
  });

  it('must have the configured issuer and audience', async () => {
    const strict = verifier({ secret: SECRET, issuer: 'https://app.test', audience: 'millrace' });
    const right = { iss: 'https://app.test', aud: ['millrace', 'other'] };
    expect((await strict(await signed(right))).owner).toBe('ann');
    for (const wrong of [{}, { ...right, aud: 'other' }, { ...right, iss: 'https://evil.test' }])
      await expect(strict(await signed(wrong))).rejects.toMatchObject({ status: 401, code: 'invalid_token' });
  });
});

describe('tokens checked with JWT_JWKS_URL', () => {
  let server: Server;
  let url: string;
  let answer: { status: number; body: string };
  const keys = generateKeyPair('ES256', { extractable: true });

  beforeEach(async () => {
    const jwk = { ...(await exportJWK((await keys).publicKey)), kid: 'one', alg: 'ES256' };
    answer = { status: 200, body: JSON.stringify({ keys: [jwk] }) };
    server = createServer((_req, res) => {
      res.writeHead(answer.status, { 'Content-Type': 'application/json' }).end(answer.body);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`;
  });
  afterEach(() => new Promise((resolve) => server.close(resolve)));

  const es256 = async (kid = 'one') =>
    new SignJWT({ sub: 'ann' }).setProtectedHeader({ alg: 'ES256', kid }).sign((await keys).privateKey);

  it('are good when a published key signed them', async () => {
    expect((await verifier({ jwksUrl: url })(await es256())).owner).toBe('ann');
  });

  it('are refused with an unknown key, or signed by HMAC with what is public', async () => {
    const verify = verifier({ jwksUrl: url });
    await expect(verify(await es256('two'))).rejects.toMatchObject({ status: 401, code: 'invalid_token' });
    await expect(verify(await signed({}, answer.body))).rejects.toMatchObject({ status: 401 });
  });

  it('go beside tokens signed with the secret', async () => {
    const verify = verifier({ jwksUrl: url, secret: SECRET });
    expect((await verify(await signed())).owner).toBe('ann');
    expect((await verify(await es256())).owner).toBe('ann');
  });

  it.each([
    ['answers 500', { status: 500, body: '' }],
    ['answers no key set', { status: 200, body: '"hello"' }],
    ['answers no JSON', { status: 200, body: '<html>' }],
  ])('can’t be judged when the server %s: 503, not 401', async (_, broken) => {
    answer = broken;
    await expect(verifier({ jwksUrl: url })(await es256())).rejects.toMatchObject({
      status: 503,
      code: 'jwks_unavailable',
    });
  });

  it('can’t be judged when nobody listens there', async () => {
    const verify = verifier({ jwksUrl: 'http://127.0.0.1:1/jwks.json' });
    await expect(verify(await es256())).rejects.toMatchObject({ status: 503 });
  });
});

it('tells tokens from keys by their shape', async () => {
  expect(looksLikeJwt(await signed())).toBe(true);
  expect(looksLikeJwt('mr_abc.def.ghi')).toBe(false);
  expect(createJwtVerifier({ jwt: {} } as Config['auth'])).toBeUndefined();
});
