/** Real concurrency: processes that work on one database, and one that is killed. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { transact } from '../../db/transaction.ts';
import { add } from '../../server/jobs/queue.ts';
import { DIALECTS, openTestDatabase, type TestDatabase } from '../databases.ts';
import { exitOf, startProgram } from '../program.ts';
import { checkJobs } from './invariants.ts';

const JOBS = 300;
describe.each(DIALECTS)('workers in several processes on %s', (dialect) => {
  let database: TestDatabase;
  const children: ChildProcess[] = [];
  beforeEach(async () => {
    database = await openTestDatabase(dialect);
  });
  afterEach(async () => {
    await Promise.all(children.splice(0).map((child) => exitOf(child, 'SIGKILL')));
    await database.close();
  });

  const start = async (): Promise<ChildProcess> => {
    const child = startProgram('worker.ts', database.file, ...(database.url ? [database.url] : []));
    children.push(child);
    await once(child.stdout!, 'data');
    return child;
  };
  const done = async () =>
    (await database.db.selectFrom('job').select('id').where('status', '=', 'succeeded').execute()).length;
  const until = async (count: number): Promise<void> => {
    while ((await done()) < count) await sleep(50);
  };

  it(`complete ${JOBS} jobs once each, though one of them is killed`, async () => {
    const victim = await start();
    const survivors = await Promise.all([start(), start()]);
    for (let batch = 0; batch < JOBS; batch += 50)
      await transact(database.db, async (trx) => {
        for (let i = batch; i < batch + 50; i++)
          await add(trx, { key: `job${i}`, task: 'quick', owner: `${i % 7}` });
      });
    await until(20);
    await exitOf(victim, 'SIGKILL');
    await until(JOBS);

    const results = await database.db.selectFrom('setting').selectAll().execute();
    expect(results).toHaveLength(JOBS); // a second result of a job would break the primary key
    await checkJobs(database.db);
    const events = await database.db
      .selectFrom('event')
      .select('payload')
      .where('type', '=', 'job.status')
      .execute();
    const successes = events.filter(({ payload }) => payload.includes('"succeeded"'));
    expect(successes).toHaveLength(JOBS);
    const attempts = await database.db.selectFrom('job').select(['attempts', 'errorCode']).execute();
    expect(attempts.every((job) => job.attempts === 1 || job.errorCode === 'worker_lost')).toBe(true);
    expect(await Promise.all(survivors.map((child) => exitOf(child, 'SIGTERM')))).toEqual([0, 0]);
  });
});
