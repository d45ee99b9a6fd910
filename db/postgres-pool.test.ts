/** What networks do to connections to PostgreSQL. */
import { randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { openTestDatabase, type TestDatabase } from '../test/databases.ts';
import { startRudeProxy, type RudeProxy } from '../test/services/rude-proxy.ts';
import { isOutage } from '../server/errors.ts';
import { openDatabase, type Db } from './dialect.ts';

const ANSWER_MS = 500;

let database: TestDatabase;
let proxy: RudeProxy;
let db: Db;
beforeEach(async () => {
  database = await openTestDatabase('postgres');
  proxy = await startRudeProxy(database.url ?? '');
  db = openDatabase({ url: proxy.url, file: '', poolSize: 1, answerMs: ANSWER_MS });
});
afterEach(async () => {
  await db.destroy();
  await proxy.close();
  await database.close();
});

const one = async (): Promise<number | undefined> =>
  (await sql<{ one: number }>`select 1 as one`.execute(db)).rows[0]?.one;

/** What it failed with, when that is no more than an outage. */
const outageOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'it succeeded',
    (error: unknown) => (isOutage(error) ? String(error) : `no outage: ${String(error)}`),
  );

it('a connection that breaks under a statement fails that one, and the next gets another', async () => {
  const running = outageOf(sql`select pg_sleep(60)`.execute(db));
  await busy();
  proxy.cut();
  expect(await running).toMatch(/ECONNRESET|terminated/);
  expect(await one()).toBe(1);
});

it('a transaction fails with what broke its connection, not with its rollback', async () => {
  const work = db.transaction().execute(async (trx) => {
    await sql`select 1`.execute(trx);
    proxy.cut();
    await sql`select 2`.execute(trx);
  });
  expect(await outageOf(work)).toMatch(/ECONNRESET|EPIPE|terminated/);
  expect(await one()).toBe(1);
});

it('a session that PostgreSQL ended is not used again', async () => {
  const pid = async (): Promise<number> =>
    (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(db)).rows[0]!.pid;
  const first = await pid();
  const killed = sql`select pg_terminate_backend(pg_backend_pid())`.execute(db);
  expect(await outageOf(killed)).toContain('terminating connection');
  expect(await pid()).not.toBe(first);
});

it('an answer that never comes is not waited for, and the connection is not used again', async () => {
  expect(await one()).toBe(1);
  proxy.mode = 'swallow';
  expect(await outageOf(one())).toContain('PostgreSQL did not answer within 0.5 s');
  expect(await outageOf(db.transaction().execute(one))).toMatch(/did not answer|timeout/);
  proxy.mode = 'pass';
  expect(await one()).toBe(1);
});

it('locks of a process that is gone behind the network are free again soon', async () => {
  await database.db.insertInto('setting').values({ name: 'a', value: '1' }).execute();
  const gone = db.transaction().execute(async (trx) => {
    await trx.updateTable('setting').set({ value: '2' }).execute();
    proxy.mode = 'swallow';
    await sql`select 1`.execute(trx);
  });
  expect(await outageOf(gone)).toContain('did not answer');
  const next = sql`set local lock_timeout = '20s'`;
  await database.db.transaction().execute(async (trx) => {
    await next.execute(trx);
    await trx.updateTable('setting').set({ value: '3' }).execute();
  });
});

it('takes as long as it likes where that is asked for', async () => {
  const patient = openDatabase({ url: proxy.url, file: '', poolSize: 1, answerMs: Infinity });
  await sql`select pg_sleep(${(2 * ANSWER_MS) / 1000})`.execute(patient);
  await patient.destroy();
});

describe('a server without more connections', () => {
  const LIMIT = 2;
  let url: string;
  let role: string;
  beforeEach(async () => {
    role = `few_${randomBytes(6).toString('hex')}`;
    await sql`create role ${sql.id(role)} login connection limit ${sql.lit(LIMIT)}`.execute(database.db);
    const own = new URL(database.url ?? '');
    own.username = role;
    url = String(own);
  });
  afterEach(() => sql`drop role ${sql.id(role)}`.execute(database.db));

  const nap = (on: Db): Promise<unknown> => sql`select pg_sleep(0.05)`.execute(on);

  it('is made do with: what it does not give is waited for', async () => {
    const told: number[] = [];
    const few = openDatabase({ url, file: '', poolSize: 10, onShortage: (n) => told.push(n) });
    await Promise.all(Array.from({ length: 20 }, () => nap(few)));
    await few.destroy();
    expect(told).toHaveLength(1);
  });

  it('is waited for by a process that has none, until another has given one back', async () => {
    const greedy = openDatabase({ url, file: '', poolSize: LIMIT });
    const holding = Array.from({ length: LIMIT }, () => sql`select pg_sleep(0.7)`.execute(greedy));
    await busy();
    const late = openDatabase({ url, file: '', poolSize: 10 });
    const work = Promise.all(Array.from({ length: 5 }, () => nap(late)));
    await Promise.all(holding);
    await greedy.destroy();
    await work;
    await late.destroy();
  });

  it('fails what has waited too long', async () => {
    const greedy = openDatabase({ url, file: '', poolSize: LIMIT });
    const holding = Array.from({ length: LIMIT }, () => sql`select pg_sleep(1.5)`.execute(greedy));
    await busy();
    const late = openDatabase({ url, file: '', poolSize: 1, answerMs: ANSWER_MS });
    expect(await outageOf(nap(late))).toContain('too many connections');
    await Promise.all(holding);
    await Promise.all([greedy.destroy(), late.destroy()]);
  });
});

/** Resolves when PostgreSQL is at the statement that lasts. */
async function busy(): Promise<void> {
  for (;;) {
    const { rows } = await sql`
      select 1 from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'
       and datname = current_database()`.execute(database.db);
    if (rows.length) return;
  }
}
