/** Stream's webhooks: https://developers.cloudflare.com/stream/manage-video-library/using-webhooks/ */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Delivery } from '../provider.ts';
import { readVideo } from './video.ts';

/** Milliseconds: an older signature may be a replay. Also the other way round, for clocks that differ. */
const WINDOW = 300_000;

/** Hex HMAC-SHA256 of `time.body`, as in `Webhook-Signature: time=…,sig1=…`. */
export function signatureOf(secret: string, time: string, body: Buffer | string): string {
  return createHmac('sha256', secret).update(`${time}.`).update(body).digest('hex');
}

/** Reads the raw body: the bytes as they came are what was signed. */
export function readWebhook(
  body: Buffer,
  headers: Record<string, unknown>,
  secrets: readonly string[],
  now = Date.now(),
): Delivery {
  const header = headers['webhook-signature'];
  if (typeof header !== 'string') return { verdict: 'forged', reason: 'no Webhook-Signature' };
  const fields = new Map(header.split(',').map((pair) => pair.trim().split('=', 2) as [string, string]));
  const time = fields.get('time') ?? '';
  const signature = fields.get('sig1') ?? '';
  if (!/^\d{1,12}$/.test(time) || !/^[0-9a-f]{64}$/i.test(signature))
    return { verdict: 'forged', reason: 'Webhook-Signature is malformed' };
  // All secrets are tried, so that the time taken does not tell which one was nearly right.
  const matches = secrets.filter((secret) => equal(signature.toLowerCase(), signatureOf(secret, time, body)));
  if (!matches.length) return { verdict: 'forged', reason: 'the signature is not of any secret' };
  if (Math.abs(now - Number(time) * 1000) > WINDOW)
    return { verdict: 'forged', reason: 'it was signed more than five minutes ago, or the clocks differ' };
  return read(body);
}

function read(body: Buffer): Delivery {
  try {
    const observation = readVideo(JSON.parse(body.toString('utf8')));
    if (observation) return { verdict: 'genuine', observation };
    return { verdict: 'malformed', reason: 'it has no uid' };
  } catch {
    return { verdict: 'malformed', reason: 'it is not JSON' };
  }
}

const equal = (given: string, expected: string): boolean =>
  given.length === expected.length && timingSafeEqual(Buffer.from(given), Buffer.from(expected));
