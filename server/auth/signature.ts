/** Statements we sign for ourselves and read back later: short enough for a cookie or a URL. */
import { createHmac, timingSafeEqual } from 'node:crypto';

/** What a signature is for; one made for one purpose is worth nothing for another. */
export type Purpose = 'session' | 'playback' | 'source';

/** Base64url HMAC-SHA256 of the fields, in that order. */
export function sign(secret: Uint8Array, purpose: Purpose, ...fields: string[]): string {
  return createHmac('sha256', secret)
    .update(JSON.stringify([purpose, ...fields]))
    .digest('base64url');
}

/** True when `signature` is the one of these fields. Takes as long for a nearly right one as for a wrong one. */
export function verify(
  secret: Uint8Array,
  signature: string,
  purpose: Purpose,
  ...fields: string[]
): boolean {
  const expected = Buffer.from(sign(secret, purpose, ...fields));
  const given = Buffer.from(signature);
  return given.length === expected.length && timingSafeEqual(given, expected);
}
