/** What networks do to connections to PostgreSQL. */
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

/** Resolves when PostgreSQL is at the statement that lasts. */
async function busy(): Promise<void> {
  for (;;) {
    const { rows } = await sql`
      select 1 from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'
       and datname = current_database()`.execute(database.db);
    if (rows.length) return;
  }
}
