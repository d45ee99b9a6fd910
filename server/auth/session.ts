/**
 * Browser sessions: a signed cookie that names an API key. Nothing is stored; revoking the key ends all its
 * sessions.
 */
import { sign, verify } from './signature.ts';

export const SESSION_COOKIE = 'millrace_session';

/** The cookie's value: key id, expiry and a signature over both. */
export function sessionValue(secret: Uint8Array, keyId: string, expiresAt: number): string {
  const expires = expiresAt.toString(36);
  return [keyId, expires, sign(secret, 'session', keyId, expires)].join('.');
}

/** The key id of a session that is ours and has not expired. */
export function readSession(secret: Uint8Array, value: string, now = Date.now()): string | undefined {
  const [keyId = '', expires = '', signature = '', ...rest] = value.split('.');
  if (rest.length || !verify(secret, signature, 'session', keyId, expires)) return undefined;
  return parseInt(expires, 36) > now ? keyId : undefined;
}

/** The session cookie of a Cookie header (RFC 6265, section 4.2.1). */
export function sessionCookie(header: string | undefined): string | undefined {
  const prefix = `${SESSION_COOKIE}=`;
  return header
    ?.split(';')
    .map((pair) => pair.trim())
    .find((pair) => pair.startsWith(prefix))
    ?.slice(prefix.length);
}
