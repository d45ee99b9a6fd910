/** Playback tokens that Millrace signs by itself, with a Stream signing key. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { eventually } from '../server.ts';
import { openStreamApp, type StreamApp } from './harness.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const SPELLINGS: Record<string, (key: KeyObject) => string> = {
  pem: (key) => base64(key.export({ format: 'pem', type: 'pkcs1' }).toString()),
  jwk: (key) => base64(JSON.stringify(key.export({ format: 'jwk' }))),
};

describe('a Stream signing key', () => {
  let app: StreamApp;
  afterEach(() => app.close());

  it.each(['pem', 'jwk'])(
    'in its %s spelling opens playback without asking Cloudflare',
    async (spelling) => {
      const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      app = await openStreamApp('sqlite', {
        env: {
          STREAM_SIGNING_KEY_ID: 'key-1',
          STREAM_SIGNING_KEY: SPELLINGS[spelling]!(privateKey),
          PLAYBACK_TTL: '7d',
        },
      });
      const { world } = app.standIn;
      const id = await app.upload(Buffer.from('a film'));
      await eventually(async () => (await app.media(id)).status === 'ready');
      const media = await fetch(`${app.url}/api/media/${id}`, { headers: app.headers });
      const { playback } = (await media.json()) as { playback: { hls: string } };
      const redirect = await fetch(playback.hls, { redirect: 'manual' });
      expect(redirect.status).toBe(302);
      const address = redirect.headers.get('location')!;
      const token = new URL(address).pathname.split('/')[1]!;
      expect(decodeProtectedHeader(token)).toEqual({ alg: 'RS256', kid: 'key-1' });
      const claims = decodeJwt(token);
      expect(claims).toMatchObject({ sub: world.live[0]!.uid, kid: 'key-1' });
      // "The maximum time specification is 24 hours from issuing time."
      expect(claims.exp! - claims.nbf!).toBe(24 * 3600 + 60);

      world.signingKey = publicKey;
      expect((await fetch(address)).status).toBe(200);
      world.signingKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;
      expect((await fetch(address)).status).toBe(404);
      expect(world.calls.filter((call) => call.endsWith('/token'))).toEqual([]);
    },
    60_000,
  );
});
