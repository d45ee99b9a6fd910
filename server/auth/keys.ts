/** API keys: random, stored as hashes, revocable. */
import { createHash, randomBytes } from 'node:crypto';
import type { Db, Trx } from '../../db/dialect.ts';
import type { ApiKeyRow } from '../../db/schema.ts';
import { statement } from '../../db/statement.ts';
import { transact } from '../../db/transaction.ts';
import type { Context } from '../context.ts';
import { AppError } from '../errors.ts';
import { newId } from '../ids.ts';
import { SCOPES, type Principal, type Scope } from './principal.ts';

/** Name of the row that stands for the environment variable. */
const CONFIGURED = 'ADMIN_KEY';
const TOUCH_EVERY_MS = 60_000;

export interface NewKey {
  name: string;
  /** Whoever uses the key makes and sees the media of this owner. */
  owner: string;
  scopes: readonly Scope[];
}

/** A key without its secret. */
export type KeyView = Pick<ApiKeyRow, 'id' | 'name' | 'owner' | 'hint' | 'createdAt' | 'lastUsedAt'> & {
  scopes: Scope[];
};

/** Makes a key. This is the only time its text is known. Throws AppError 400 for a name that is reserved. */
export async function createKey(db: Db, wanted: NewKey): Promise<{ key: string; row: KeyView }> {
  if (wanted.name === CONFIGURED)
    throw new AppError(
      400,
      'reserved_name',
      `${CONFIGURED} names the key of the environment: choose another.`,
    );
  const key = `mr_${randomBytes(32).toString('base64url')}`;
  return { key, row: await insertKey(db, key, wanted) };
}

/** Every key in use, newest first. */
export async function listKeys(db: Db): Promise<KeyView[]> {
  const rows = await db
    .selectFrom('apiKey')
    .selectAll()
    .where('revokedAt', 'is', null)
    .orderBy('id', 'desc')
    .execute();
  return rows.map(toView);
}

/** Ends a key and its sessions. False when no key in use has this id. */
export async function revokeKey(db: Db, id: string): Promise<boolean> {
  const row = await db
    .updateTable('apiKey')
    .set({ revokedAt: Date.now() })
    .where('id', '=', id)
    .where('revokedAt', 'is', null)
    .returning('id')
    .executeTakeFirst();
  return row !== undefined;
}

/** The principal of a key's text; undefined when no key in use has it. */
export async function principalOfKey(db: Db, key: string): Promise<Principal | undefined> {
  // Found by the hash of 256 random bits: how long the look-up takes says nothing about another key.
  return principalWhere(db, 'hash', hashOf(key));
}

/** The principal of a session's key; undefined when the key was revoked. */
export async function principalOfKeyId(db: Db, id: string): Promise<Principal | undefined> {
  return principalWhere(db, 'id', id);
}

/**
 * Sees to it that somebody can log in as admin. With ADMIN_KEY that one works, and a former value of it no
 * longer. Otherwise, when no admin key is in use, makes one and returns it. Safe when processes start together.
 */
export async function ensureAdminKey(ctx: Context): Promise<{ key?: string; created: boolean }> {
  const configured = ctx.config.auth.adminKey;
  return transact(ctx.db, async (trx) => {
    await oneAtATime(trx);
    await retireConfigured(trx, configured === undefined ? '' : hashOf(configured));
    if (configured !== undefined) return { created: await adoptConfigured(trx, configured) };
    if ((await listKeys(trx)).some((row) => row.scopes.includes('admin'))) return { created: false };
    const { key } = await createKey(trx, { name: 'first admin key', owner: 'admin', scopes: ['admin'] });
    return { key, created: true };
  });
}

/** Takes a row lock that every start takes, until the transaction ends. */
async function oneAtATime(trx: Trx): Promise<void> {
  const value = new Date().toISOString();
  await trx
    .insertInto('setting')
    .values({ name: 'admin_key_checked_at', value })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
    .execute();
}

async function retireConfigured(trx: Trx, exceptHash: string): Promise<void> {
  await trx
    .updateTable('apiKey')
    .set({ revokedAt: Date.now() })
    .where('name', '=', CONFIGURED)
    .where('hash', '!=', exceptHash)
    .where('revokedAt', 'is', null)
    .execute();
}

/** The environment has the last word: a key revoked in the application works again while ADMIN_KEY names it. */
async function adoptConfigured(trx: Trx, key: string): Promise<boolean> {
  const wanted = { name: CONFIGURED, owner: 'admin', scopes: 'admin', revokedAt: null };
  const known = await trx
    .updateTable('apiKey')
    .set(wanted)
    .where('hash', '=', hashOf(key))
    .returning('id')
    .executeTakeFirst();
  if (!known) await insertKey(trx, key, { ...wanted, scopes: ['admin'] });
  return !known;
}

async function insertKey(db: Db, key: string, { name, owner, scopes }: NewKey): Promise<KeyView> {
  const row = await db
    .insertInto('apiKey')
    .values({
      id: newId(),
      name,
      owner,
      scopes: SCOPES.filter((scope) => scopes.includes(scope)).join(' '),
      hash: hashOf(key),
      // Of a key that a person chose, four characters would be too much to show.
      hint: key.startsWith('mr_') ? key.slice(0, 7) : '',
      createdAt: Date.now(),
      lastUsedAt: null,
      revokedAt: null,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  return toView(row);
}

const keyBy = {
  id: statement<ApiKeyRow>(() => 'select * from api_key where id = ? and revoked_at is null'),
  hash: statement<ApiKeyRow>(() => 'select * from api_key where hash = ? and revoked_at is null'),
};

async function principalWhere(db: Db, column: 'id' | 'hash', value: string): Promise<Principal | undefined> {
  const [row] = await keyBy[column](db, value);
  if (!row) return undefined;
  await touch(db, row);
  return { owner: row.owner, scopes: new Set(scopesOf(row)), keyId: row.id };
}

/** Notes the use, at most once a minute: reading must not cost a write each time. */
async function touch(db: Db, row: ApiKeyRow): Promise<void> {
  const now = Date.now();
  if (row.lastUsedAt !== null && row.lastUsedAt > now - TOUCH_EVERY_MS) return;
  await db.updateTable('apiKey').set({ lastUsedAt: now }).where('id', '=', row.id).execute();
}

function toView(row: ApiKeyRow): KeyView {
  const { id, name, owner, hint, createdAt, lastUsedAt } = row;
  return { id, name, owner, scopes: scopesOf(row), hint, createdAt, lastUsedAt };
}

const scopesOf = (row: ApiKeyRow): Scope[] => SCOPES.filter((scope) => row.scopes.split(' ').includes(scope));

const hashOf = (key: string): string => createHash('sha256').update(key).digest('hex');
