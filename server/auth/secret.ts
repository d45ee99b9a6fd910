import { randomBytes } from 'node:crypto';
import type { Db } from '../../db/dialect.ts';

const NAME = 'signing_secret';

/**
 * The bytes that sign sessions and playback URLs: SESSION_SECRET when it is set; otherwise random ones, made
 * once and kept in the database, so that every process of the installation has the same.
 */
export async function loadSecret(db: Db, configured?: string): Promise<Uint8Array> {
  if (configured !== undefined) return new TextEncoder().encode(configured);
  // Of processes that start together one inserts; all read what it inserted.
  await db
    .insertInto('setting')
    .values({ name: NAME, value: randomBytes(32).toString('base64url') })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .execute();
  const { value } = await db
    .selectFrom('setting')
    .select('value')
    .where('name', '=', NAME)
    .executeTakeFirstOrThrow();
  return Buffer.from(value, 'base64url');
}
