/** Who is asking? An API key, a JWT of the host application, or the session of a browser. */
import type { Context } from '../context.ts';
import { AppError } from '../errors.ts';
import { createJwtVerifier, looksLikeJwt } from './jwt.ts';
import { principalOfKey, principalOfKeyId } from './keys.ts';
import type { Principal } from './principal.ts';
import { readSession, sessionCookie } from './session.ts';

export interface Credentials {
  authorization?: string | undefined;
  cookie?: string | undefined;
}

/** Resolves with who sent these headers; throws AppError 401 when they name nobody. */
export type Authenticate = (headers: Credentials) => Promise<Principal>;

/** An Authorization header wins over the cookie. */
export function createAuthenticator(ctx: Pick<Context, 'config' | 'db' | 'secret'>): Authenticate {
  const verifyJwt = createJwtVerifier(ctx.config.auth);

  return async ({ authorization, cookie }) => {
    const session = sessionCookie(cookie);
    if (authorization === undefined && session === undefined)
      throw unauthorized('unauthorized', 'Send `Authorization: Bearer` with an API key, or log in.');
    if (authorization === undefined) return ofSession(session ?? '');
    // RFC 9110, section 11.1: the scheme is case-insensitive.
    const token = /^Bearer +([^\s]+) *$/i.exec(authorization)?.[1];
    if (token === undefined)
      throw unauthorized(
        'unauthorized',
        'The Authorization header must be `Bearer` and an API key or a JWT.',
      );
    if (verifyJwt && looksLikeJwt(token)) return verifyJwt(token);
    const principal = await principalOfKey(ctx.db, token);
    if (!principal) throw unauthorized('invalid_key', 'This API key does not exist or was revoked.');
    return principal;
  };

  async function ofSession(value: string): Promise<Principal> {
    const keyId = readSession(ctx.secret, value);
    const principal = keyId === undefined ? undefined : await principalOfKeyId(ctx.db, keyId);
    if (!principal) throw unauthorized('session_expired', 'The session has ended: log in again.');
    return principal;
  }
}

/** True when these headers claim to be somebody, rightly or not. */
export const hasCredentials = ({ authorization, cookie }: Credentials): boolean =>
  authorization !== undefined || sessionCookie(cookie) !== undefined;

const unauthorized = (code: string, message: string): AppError =>
  new AppError(401, code, message, { headers: { 'WWW-Authenticate': 'Bearer realm="millrace"' } });
