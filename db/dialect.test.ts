import { sql } from 'kysely';
import { DIALECTS, openTestDatabase, type TestDatabase } from '../test/databases.ts';
import { isPostgres, isUniqueViolation, skipEventIds, transactionOf, type Db } from './dialect.ts';
import { transact } from './transaction.ts';

describe.each(DIALECTS)('%s', (dialect) => {
  let database: TestDatabase;
  let db: Db;
  beforeEach(async () => {
    database = await openTestDatabase(dialect);
    db = database.db;
  });
  afterEach(() => database.close());

  it('is recognised, inside a transaction too', async () => {
    expect(isPostgres(db)).toBe(dialect === 'postgres');
    expect(await transact(db, (trx) => Promise.resolve(isPostgres(trx)))).toBe(dialect === 'postgres');
  });

  it('returns the same values as the other', async () => {
    const big = 2 ** 45 + 1;
    const upload = {
      id: 'u1',
      mediaId: null,
      owner: 'ann',
      kind: 'single',
      length: big,
      offset: 0,
      state: 'receiving',
      key: 'k',
      tailSize: 0,
      epoch: 1,
      createdAt: big,
      updatedAt: big,
    };
    await db.insertInto('upload').values(upload).execute();
    const row = await db.selectFrom('upload').selectAll().executeTakeFirstOrThrow();
    expect(row).toMatchObject({ ...upload, expiresAt: null, storageId: null });
    const { count } = await db
      .selectFrom('upload')
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .executeTakeFirstOrThrow();
    expect(count).toBe(1);
  });

  it('knows a unique violation from other errors', async () => {
    const add = () => db.insertInto('setting').values({ name: 'a', value: '' }).execute();
    await add();
    expect(isUniqueViolation(await add().catch((error: unknown) => error))).toBe(true);
    const part = db
      .insertInto('uploadPart')
      .values({ uploadId: 'none', number: 1, size: 1, etag: '' })
      .execute();
    const foreign: unknown = await part.catch((error: unknown) => error);
    expect(String(foreign)).toMatch(/foreign key/i);
    expect(isUniqueViolation(foreign)).toBe(false);
    expect(isUniqueViolation(undefined)).toBe(false);
  });
});

it('SQLite on a full disk says so, and stays durable afterwards', async () => {
  const { db, close } = await openTestDatabase('sqlite');
  try {
    const { rows } = await sql<{ pageCount: number }>`pragma page_count`.execute(db);
    await sql`${sql.raw(`pragma max_page_count = ${(rows[0]?.pageCount ?? 0) + 1}`)}`.execute(db);
    const write = (value: string): Promise<unknown> =>
      transact(db, (trx) => trx.insertInto('setting').values({ name: 'a', value }).execute(), {
        durable: false,
      });
    expect(await write('x'.repeat(1_000_000)).catch((error: unknown) => error)).toMatchObject({
      code: 'SQLITE_FULL',
    });
    expect((await sql`pragma synchronous`.execute(db)).rows).toEqual([{ synchronous: 2 }]);
    await write('small');
  } finally {
    await close();
  }
});

describe('SQLite waits for the disk', () => {
  let database: TestDatabase;
  beforeEach(async () => (database = await openTestDatabase('sqlite')));
  afterEach(() => database.close());
  const FULL = 2;
  const NORMAL = 1;
  const synchronous = async (db: Db) =>
    (await sql<{ synchronous: number }>`pragma synchronous`.execute(db)).rows[0]!.synchronous;

  it('in every transaction but those that may be forgotten, whose end brings the rule back', async () => {
    const { db } = database;
    expect(await transactionOf(db, true).execute(synchronous)).toBe(FULL);
    expect(await transactionOf(db, false).execute(synchronous)).toBe(NORMAL);
    expect(await synchronous(db)).toBe(FULL);
    await expect(transactionOf(db, false).execute(() => Promise.reject(new Error('no')))).rejects.toThrow(
      'no',
    );
    expect(await synchronous(db)).toBe(FULL);
  });

  it('and gives no event an id that one before a power cut may have had', async () => {
    const { db } = database;
    const event = { type: 'media.updated', owner: 'ann', mediaId: 'm1', payload: '{}', createdAt: 0 };
    for (let n = 0; n < 2; n++) {
      await db.insertInto('event').values(event).execute();
      await skipEventIds(db);
    }
    const ids = (await db.selectFrom('event').select('id').orderBy('id').execute()).map(({ id }) => id);
    expect(ids[1]! - ids[0]!).toBeGreaterThan(1_000);
  });
});
