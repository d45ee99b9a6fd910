import { DIALECTS, openTestDatabase, type TestDatabase } from '../../test/databases.ts';
import { transact } from '../../db/transaction.ts';
import type { Context } from '../context.ts';
import { createKey, ensureAdminKey, listKeys, principalOfKey, revokeKey } from './keys.ts';

describe.each(DIALECTS)('API keys on %s', (dialect) => {
  let database: TestDatabase;
  beforeEach(async () => (database = await openTestDatabase(dialect)));
  afterEach(() => database.close());

  const contextWith = (adminKey?: string) =>
    ({ db: database.db, config: { auth: { adminKey } } }) as unknown as Context;

  it('stores the hash, not the key', async () => {
    const { key, row } = await createKey(database.db, {
      name: 'phone',
      owner: 'ann',
      scopes: ['read', 'upload'],
    });
    expect(key).toMatch(/^mr_[\w-]{43}$/);
    const stored = await database.db.selectFrom('apiKey').selectAll().executeTakeFirstOrThrow();
    expect(JSON.stringify(stored)).not.toContain(key);
    expect(stored.hash).toMatch(/^[0-9a-f]{64}$/);
    expect(row).toMatchObject({
      name: 'phone',
      owner: 'ann',
      scopes: ['upload', 'read'],
      hint: key.slice(0, 7),
    });
    expect(row).not.toHaveProperty('hash');
  });

  it('knows a key until it is revoked', async () => {
    const { key, row } = await createKey(database.db, { name: 'phone', owner: 'ann', scopes: ['read'] });
    expect(await principalOfKey(database.db, key)).toEqual({
      owner: 'ann',
      scopes: new Set(['read']),
      keyId: row.id,
    });
    expect(await principalOfKey(database.db, `${key}x`)).toBeUndefined();
    expect(await revokeKey(database.db, row.id)).toBe(true);
    expect(await revokeKey(database.db, row.id)).toBe(false);
    expect(await principalOfKey(database.db, key)).toBeUndefined();
    expect(await listKeys(database.db)).toEqual([]);
  });

  it('notes the last use at most once a minute', async () => {
    const { key, row } = await createKey(database.db, { name: 'phone', owner: 'ann', scopes: ['read'] });
    const lastUsed = async () => (await listKeys(database.db))[0]?.lastUsedAt ?? null;
    const use = async (lastUsedAt: number) => {
      await database.db.updateTable('apiKey').set({ lastUsedAt }).where('id', '=', row.id).execute();
      await principalOfKey(database.db, key);
    };
    expect(await lastUsed()).toBeNull();
    const recently = Date.now() - 50_000;
    await use(recently);
    expect(await lastUsed()).toBe(recently);
    await use(Date.now() - 70_000);
    expect(await lastUsed()).toBeGreaterThan(recently);
  });

  it('makes a first admin key once, also when processes start together', async () => {
    const starts = [1, 2, 3, 4];
    // Connections are opened first, or the starts would come one after the other.
    await Promise.all(starts.map(() => transact(database.db, (trx) => listKeys(trx))));
    const made = await Promise.all(starts.map(() => ensureAdminKey(contextWith())));
    const [key] = made.flatMap((m) => m.key ?? []);
    expect(made.filter((m) => m.created)).toHaveLength(1);
    expect((await principalOfKey(database.db, key ?? ''))?.scopes).toEqual(new Set(['admin']));
    expect(await ensureAdminKey(contextWith())).toEqual({ created: false });

    const [row] = await listKeys(database.db);
    await revokeKey(database.db, row?.id ?? '');
    expect(await ensureAdminKey(contextWith())).toMatchObject({ created: true });
  });

  it('follows ADMIN_KEY: the new value works, the former does not', async () => {
    const first = 'first-admin-key-0001';
    const second = 'second-admin-key-002';
    expect(await ensureAdminKey(contextWith(first))).toEqual({ created: true });
    expect(await ensureAdminKey(contextWith(first))).toEqual({ created: false });
    expect((await principalOfKey(database.db, first))?.scopes).toEqual(new Set(['admin']));

    await ensureAdminKey(contextWith(second));
    expect(await principalOfKey(database.db, first)).toBeUndefined();
    expect(await principalOfKey(database.db, second)).toBeDefined();
    expect((await listKeys(database.db)).map(({ name, hint }) => [name, hint])).toEqual([['ADMIN_KEY', '']]);

    await ensureAdminKey(contextWith(first)); // back again
    expect(await principalOfKey(database.db, first)).toBeDefined();

    expect(await ensureAdminKey(contextWith())).toMatchObject({ created: true }); // no longer set
    expect(await principalOfKey(database.db, first)).toBeUndefined();
  });

  it('keeps the name of the environment’s key to itself', async () => {
    await expect(
      createKey(database.db, { name: 'ADMIN_KEY', owner: 'ann', scopes: ['read'] }),
    ).rejects.toMatchObject({ status: 400, code: 'reserved_name' });
  });
});
