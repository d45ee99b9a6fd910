import { DIALECTS, openTestDatabase, type TestDatabase } from '../test/databases.ts';
import type { Db, Trx } from './dialect.ts';
import { beforeCommit, onCommit, transact } from './transaction.ts';

const put = (trx: Trx, name: string, value = '') =>
  trx
    .insertInto('setting')
    .values({ name, value })
    .onConflict((oc) => oc.column('name').doUpdateSet({ value }))
    .execute();

describe.each(DIALECTS)('a transaction on %s', (dialect) => {
  let database: TestDatabase;
  let db: Db;
  beforeEach(async () => {
    database = await openTestDatabase(dialect);
    db = database.db;
  });
  afterEach(() => database.close());
  const names = async () =>
    (await db.selectFrom('setting').select('name').orderBy('name').execute()).map(({ name }) => name);

  it('returns its result, and keeps all or nothing', async () => {
    expect(await transact(db, async (trx) => (await put(trx, 'a'), 42))).toBe(42);
    const failing = transact(db, async (trx) => {
      await put(trx, 'b');
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(await names()).toEqual(['a']);
  });

  it('runs hooks last and once per key', async () => {
    const order: string[] = [];
    await transact(db, async (trx) => {
      for (const round of [1, 2])
        beforeCommit(trx, 'key', async (inner) => {
          order.push(`hook ${round}`);
          await put(inner, 'hook');
        });
      beforeCommit(trx, 'other', () => Promise.resolve(void order.push('other')));
      await put(trx, 'work');
      order.push('work');
    });
    expect(order).toEqual(['work', 'hook 2', 'other']);
    expect(await names()).toEqual(['hook', 'work']);
  });

  it('commits nothing when a hook fails, and runs none when the work fails', async () => {
    const withHook = transact(db, async (trx) => {
      await put(trx, 'a');
      beforeCommit(trx, 'key', () => Promise.reject(new Error('hook')));
    });
    await expect(withHook).rejects.toThrow('hook');
    const withWork = transact(db, (trx) => {
      beforeCommit(trx, 'key', () => Promise.reject(new Error('hook')));
      return Promise.reject(new Error('work'));
    });
    await expect(withWork).rejects.toThrow('work');
    expect(await names()).toEqual([]);
  });

  it('takes hooks only from transact', async () => {
    const plain = db.transaction().execute((trx) => {
      beforeCommit(trx, 'key', () => Promise.resolve());
      return Promise.resolve();
    });
    await expect(plain).rejects.toThrow('transact()');
  });

  it('tells of a commit that had news, after it', async () => {
    let told = 0;
    const off = onCommit(db, () => told++);
    const news = (name: string, fail = false) =>
      transact(db, async (trx) => {
        beforeCommit(trx, 'key', () => Promise.resolve());
        await put(trx, name);
        if (fail) throw new Error('no');
        expect(told).toBe(0);
      });
    await transact(db, (trx) => put(trx, 'quiet'));
    await expect(news('failed', true)).rejects.toThrow('no');
    expect(told).toBe(0);
    await news('loud');
    expect(told).toBe(1);
    off();
    told = 0;
    await news('unheard');
    expect(told).toBe(0);
  });

  it('starts again when the database asks for it, five times at most', async () => {
    let rounds = 0;
    let hooks = 0;
    const stubborn = (giveInAt: number) =>
      transact(db, async (trx) => {
        rounds++;
        beforeCommit(trx, rounds, () => Promise.resolve(void hooks++)); // of its own round only
        await put(trx, `round ${rounds}`);
        if (rounds < giveInAt) throw Object.assign(new Error('deadlock'), { code: '40P01' });
      });
    await stubborn(3);
    expect([rounds, hooks, await names()]).toEqual([3, 1, ['round 3']]);
    rounds = 0;
    await expect(stubborn(9)).rejects.toThrow('deadlock');
    expect(rounds).toBe(8);
  });
});

it('survives a real deadlock on postgres', async () => {
  const { db, close } = await openTestDatabase('postgres');
  for (const name of ['a', 'b']) await transact(db, (trx) => put(trx, name, '0'));
  let runs = 0;
  const waiting: (() => void)[] = [];
  /** Lets both go on when both have their first row. */
  const meet = () =>
    new Promise<void>((resolve) => {
      waiting.push(resolve);
      if (waiting.length === 2) for (const go of waiting) go();
    });
  const cross = (first: string, second: string) => {
    let met = false;
    return transact(db, async (trx) => {
      runs++;
      await put(trx, first, first + second);
      if (!met) await meet();
      met = true;
      await put(trx, second, first + second);
    });
  };
  await Promise.all([cross('a', 'b'), cross('b', 'a')]);
  expect(runs).toBeGreaterThanOrEqual(3); // one at least was told to try again
  const values = (await db.selectFrom('setting').select('value').execute()).map(({ value }) => value);
  expect(new Set(values).size).toBe(1); // one of them came last, whole
  await close();
});
