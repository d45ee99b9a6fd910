/** Addresses that play a video which requires signed URLs: the token takes the uid's place in them. */
import { createPrivateKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { SignJWT } from 'jose';
import type { StreamConfig } from '../../stream-config.ts';
import { ProviderError, type Provider } from '../provider.ts';
import type { Api } from './api.ts';

/** "The maximum time specification is 24 hours from issuing time." */
const LONGEST_MS = 24 * 3_600_000;
/** Tokens from Cloudflare that are used again while they have half of their life left. */
const KEPT = 5_000;

interface Token {
  value: string;
  expires: number;
}

export function createSigner(api: Api, { signingKey }: StreamConfig): Pick<Provider, 'signedUrl'> {
  const kept = new Map<string, Token>();
  const key = signingKey && { id: signingKey.id, private: readKey(signingKey.key) };

  /** One call per video and half life, as each counts against the rate limit. */
  async function ask(videoId: string, ttlMs: number): Promise<string> {
    const known = kept.get(videoId);
    if (known && known.expires - Date.now() > ttlMs / 2) return known.value;
    const expires = Date.now() + ttlMs;
    const result = await api.call('POST', `/${encodeURIComponent(videoId)}/token`, {
      body: { exp: Math.floor(expires / 1000) },
    });
    const value = (result as { token?: unknown } | null)?.token;
    if (typeof value !== 'string') throw new ProviderError('unclear', 'Cloudflare answered without a token.');
    kept.delete(videoId);
    kept.set(videoId, { value, expires });
    for (const oldest of kept.keys()) if (kept.size > KEPT) kept.delete(oldest);
    return value;
  }

  return {
    async signedUrl(videoId, url, ttlMs) {
      const ttl = Math.min(ttlMs, LONGEST_MS);
      const token = key ? await sign(key, videoId, ttl) : await ask(videoId, ttl);
      return url.replace(`/${videoId}/`, `/${token}/`);
    },
  };
}

/** "kid" is in the header and in the claims, as Cloudflare's own example has it. */
function sign(key: { id: string; private: KeyObject }, videoId: string, ttlMs: number): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ kid: key.id })
    .setProtectedHeader({ alg: 'RS256', kid: key.id })
    .setSubject(videoId)
    .setNotBefore(now - 60)
    .setExpirationTime(now + Math.floor(ttlMs / 1000))
    .sign(key.private);
}

/** The `pem` or the `jwk` of a Stream signing key, both in Base64, or a bare PEM. Throws when it is neither. */
export function readKey(value: string): KeyObject {
  const decoded = value.includes('-----BEGIN') ? value : Buffer.from(value, 'base64').toString('utf8');
  try {
    if (decoded.trimStart().startsWith('{'))
      return createPrivateKey({ key: JSON.parse(decoded) as JsonWebKey, format: 'jwk' });
    return createPrivateKey(decoded);
  } catch (error) {
    throw new Error('STREAM_SIGNING_KEY is neither the pem nor the jwk of a Stream signing key', {
      cause: error,
    });
  }
}
