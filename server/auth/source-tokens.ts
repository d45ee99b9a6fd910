/**
 * Source tokens: whoever has the address may fetch the uploaded file of one encode attempt, until it expires or
 * the attempt ends. Signed with keys of their own, so that rotating one kind of secret leaves the other alone.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Db } from '../../db/dialect.ts';
import { sign, verify } from './signature.ts';

/** The current key first; tokens of the others are still accepted. */
export type SourceKeys = readonly [Uint8Array, ...Uint8Array[]];

export type SourceVerdict = { verdict: 'valid' | 'expired'; attemptId: string } | { verdict: 'forged' };

/** Part of what is signed: a token of another layout can never be taken for one of this. */
const VERSION = '1';
/** Milliseconds that our clock and the signer's may be apart. */
const SKEW = 60_000;
const SETTING = 'source_key';

/** SOURCE_KEY and SOURCE_KEY_PREVIOUS, or a random key made once and kept in the database for all processes. */
export async function loadSourceKeys(db: Db, configured: readonly string[]): Promise<SourceKeys> {
  const [current, ...previous] = configured.map((key) => new TextEncoder().encode(key));
  if (current) return [current, ...previous];
  await db
    .insertInto('setting')
    .values({ name: SETTING, value: randomBytes(32).toString('base64url') })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .execute();
  const { value } = await db
    .selectFrom('setting')
    .select('value')
    .where('name', '=', SETTING)
    .executeTakeFirstOrThrow();
  return [Buffer.from(value, 'base64url')];
}

/** Names a key without telling it. */
const keyId = (key: Uint8Array): string =>
  createHash('sha256').update('source-key-id').update(key).digest('base64url').slice(0, 8);

/** One path segment: base64url of `version.keyId.attemptId.expires` and the signature of these fields. */
export function sourceToken(keys: SourceKeys, attemptId: string, ttlMs: number, now = Date.now()): string {
  const fields = [VERSION, keyId(keys[0]), attemptId, (now + ttlMs).toString(36)];
  const text = Buffer.from(fields.join('.')).toString('base64url');
  return `${text}.${sign(keys[0], 'source', ...fields)}`;
}

/** What a token is worth by itself. The attempt it names may be over, or never have been. */
export function checkSourceToken(keys: SourceKeys, token: string, now = Date.now()): SourceVerdict {
  const [, text = '', signature = ''] = /^([\w-]{1,200})\.([\w-]{43})$/.exec(token) ?? [];
  const decoded = Buffer.from(text, 'base64url').toString('utf8');
  const [version = '', id = '', attemptId = '', expires = '', ...rest] = decoded.split('.');
  const key = keys.find((candidate) => keyId(candidate) === id);
  if (!key || version !== VERSION || rest.length || !/^[0-9a-z]{1,11}$/.test(expires))
    return { verdict: 'forged' };
  // One token has one spelling: base64url decoding alone would take several.
  if (Buffer.from(decoded).toString('base64url') !== text) return { verdict: 'forged' };
  if (!verify(key, signature, 'source', version, id, attemptId, expires)) return { verdict: 'forged' };
  return { verdict: parseInt(expires, 36) + SKEW > now ? 'valid' : 'expired', attemptId };
}
