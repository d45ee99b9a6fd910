/** Playback tokens: whoever has the URL may watch this one media until the token expires. */
import { sign, verify } from './signature.ts';

/** A token that expires after at least `ttlMs`. Stays the same for a while, so that the URL can be cached. */
export function playbackToken(secret: Uint8Array, mediaId: string, ttlMs: number, now = Date.now()): string {
  const step = Math.max(1000, Math.floor(ttlMs / 12));
  const expires = (Math.ceil((now + ttlMs) / step) * step).toString(36);
  return `${expires}.${sign(secret, 'playback', mediaId, expires)}`;
}

/** `forged` also when it is for another media. */
export function checkPlaybackToken(
  secret: Uint8Array,
  token: string,
  mediaId: string,
  now = Date.now(),
): 'valid' | 'expired' | 'forged' {
  const match = /^([0-9a-z]{1,11})\.([\w-]{43})$/.exec(token);
  const [, expires = '', signature = ''] = match ?? [];
  if (!match || !verify(secret, signature, 'playback', mediaId, expires)) return 'forged';
  return parseInt(expires, 36) > now ? 'valid' : 'expired';
}
