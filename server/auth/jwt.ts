/** Tokens of the host application (RFC 7519): it knows its users, we trust its signature. */
import {
  createRemoteJWKSet,
  decodeProtectedHeader,
  errors,
  jwtVerify,
  type JWTPayload,
  type JWTVerifyGetKey,
} from 'jose';
import type { Config } from '../config.ts';
import { AppError, messageOf } from '../errors.ts';
import { SCOPES, type Principal, type Scope } from './principal.ts';

/** Resolves with the principal of a token; throws AppError 401, or 503 when the JWKS can't be fetched. */
export type JwtVerifier = (token: string) => Promise<Principal>;

/** Public-key algorithms only: with a JWKS, an HMAC token would be signed with a key that everybody can read. */
const ASYMMETRIC = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];
const DEFAULT_SCOPES: Scope[] = ['upload', 'read'];
const OWNER_MAX = 200;

/** True for what has the shape of a signed token: three base64url parts, the first a JSON object. */
export const looksLikeJwt = (value: string): boolean => /^eyJ[\w-]+\.[\w-]+\.[\w-]*$/.test(value);

/** Undefined when neither JWT_SECRET nor JWT_JWKS_URL is set. */
export function createJwtVerifier({ jwt }: Config['auth']): JwtVerifier | undefined {
  if (!jwt.secret && !jwt.jwksUrl) return undefined;
  const secret = jwt.secret ? new TextEncoder().encode(jwt.secret) : undefined;
  const keys = jwt.jwksUrl ? publishedKeys(jwt.jwksUrl) : undefined;
  const claims = { issuer: jwt.issuer, audience: jwt.audience, requiredClaims: ['sub'], clockTolerance: 5 };

  return async (token) => {
    try {
      const hmac = decodeProtectedHeader(token).alg === 'HS256';
      if (secret && (hmac || !keys))
        return toPrincipal((await jwtVerify(token, secret, { ...claims, algorithms: ['HS256'] })).payload);
      if (!keys) throw new errors.JOSEAlgNotAllowed('no key for this algorithm');
      return toPrincipal((await jwtVerify(token, keys, { ...claims, algorithms: ASYMMETRIC })).payload);
    } catch (error) {
      throw refusal(error);
    }
  };
}

function toPrincipal(payload: JWTPayload): Principal {
  const owner = payload.sub ?? '';
  if (!owner.trim() || owner.length > OWNER_MAX || /\p{Cc}/u.test(owner))
    throw new errors.JWTInvalid('the sub claim is empty, too long or has control characters');
  return { owner, scopes: new Set(scopesOf(payload)), quota: quotaOf(payload) };
}

/** The application may sell room: bytes that the user may have. */
function quotaOf({ millrace_quota: quota }: JWTPayload): number | undefined {
  if (quota === undefined) return undefined;
  if (typeof quota === 'number' && Number.isSafeInteger(quota) && quota >= 0) return quota;
  throw new errors.JWTInvalid('the millrace_quota claim must be a number of bytes');
}

/** `scope` is a space-separated string (RFC 8693, section 4.2), `scopes` often a list; neither: upload and read. */
function scopesOf(payload: JWTPayload): Scope[] {
  const claim = payload.scope ?? payload.scopes;
  if (claim === undefined) return DEFAULT_SCOPES;
  const named: unknown[] = typeof claim === 'string' ? claim.split(' ') : Array.isArray(claim) ? claim : [];
  return SCOPES.filter((scope) => named.includes(scope));
}

/** The keys at JWT_JWKS_URL, cached and fetched again when a token names one that is new. */
function publishedKeys(url: string): JWTVerifyGetKey {
  const fetched = createRemoteJWKSet(new URL(url));
  return async (...token) => {
    try {
      return await fetched(...token);
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys)
        throw error;
      // Nobody's fault who sends a token: with 401 clients would throw good ones away.
      throw new AppError(
        503,
        'jwks_unavailable',
        'The keys that tokens are checked with can’t be fetched now.',
        {
          cause: error,
          headers: { 'Retry-After': '5' },
        },
      );
    }
  };
}

function refusal(error: unknown): AppError {
  if (error instanceof AppError) return error;
  if (error instanceof errors.JWTExpired)
    return unauthorized('token_expired', 'The token has expired: get a new one.', error);
  return unauthorized('invalid_token', `The token is not valid: ${messageOf(error)}.`, error);
}

const unauthorized = (code: string, message: string, cause: unknown): AppError =>
  new AppError(401, code, message, {
    cause,
    headers: { 'WWW-Authenticate': 'Bearer realm="millrace", error="invalid_token"' },
  });
