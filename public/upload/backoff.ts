/** When to try again after a failed request. */

const BASE_MS = 500;
const CAP_MS = 30_000;

/**
 * How long an upload goes on trying without any progress before it asks the person: 200 waits of 15 s on
 * average, so about 50 minutes. Waiting offline does not count.
 */
export const RETRIES = 200;

/** The longest wait before retry number `attempt` (from 0): doubles from half a second to 30 seconds. */
export const ceilingMs = (attempt: number): number => Math.min(CAP_MS, BASE_MS * 2 ** attempt);

/**
 * Exponential backoff with full jitter: anything between nothing and the ceiling, drawn anew each time, so
 * that a thousand browsers cut off at once don't come back at once.
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function fullJitterMs(attempt: number, random: () => number = Math.random): number {
  return Math.round(random() * ceilingMs(attempt));
}

/** Milliseconds asked for by a Retry-After header (RFC 9110, 10.2.3): seconds or a date; 0 when there is none. */
export function retryAfterMs(header: string | undefined | null, now = Date.now()): number {
  if (!header) return 0;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - now;
  return Number.isFinite(ms) ? Math.min(Math.max(0, ms), 10 * 60_000) : 0;
}
