/**
 * Claim + complete per second, with few and with many jobs in the table, beside what the database alone can do
 * (queue-limit.ts) right after. Best of three for all: other work on the machine only ever makes it slower. Processor time
 * is that of this process, which is all there is on SQLite; it tells also when the machine has other work.
 *
 *     npm run bench [-- rows ...]      (PostgreSQL: TEST_DATABASE_URL, or a throw-away cluster)
 *
 * The table goes to docs/scaling.md, between its markers, unless rows were given.
 */
import { sql } from 'kysely';
import { isPostgres } from '../db/dialect.ts';
import { transact } from '../db/transaction.ts';
import { succeed } from '../server/jobs/attempt.ts';
import { add, claim } from '../server/jobs/queue.ts';
import { DIALECTS, openTestDatabase, type TestDatabase } from '../test/databases.ts';
import { machine, publish } from './page.ts';
import { runBare } from './queue-limit.ts';

const ROUNDS = 3;
const JOBS = 1_000;
const given = process.argv.slice(2).map(Number);
const SIZES = given.length ? given : [1_000, 100_000, 1_000_000];
let serial = 0;

interface Speed {
  /** Jobs per second. */
  rate: number;
  /** Microseconds of this process for each. */
  cpu: number;
}
const NOTHING: Speed = { rate: 0, cpu: Infinity };

const lines: string[] = [];
const print = (line: string): void => {
  lines.push(line);
  console.log(line);
};
print(`${machine()}.`);
print('');
print('| database | other jobs | clients | add/s | claim + complete/s | CPU µs | bare driver/s | ratio |');
print('| --- | --: | --: | --: | --: | --: | --: | --: |');
for (const dialect of DIALECTS)
  for (const status of ['succeeded', 'queued'] as const)
    for (const size of SIZES) {
      const database = await openTestDatabase(dialect, { poolSize: 8 });
      await fill(database, size, status);
      const best = { add: NOTHING, one: NOTHING, eight: NOTHING, bare: NOTHING };
      for (let round = 0; round < ROUNDS; round++) {
        best.add = better(best.add, await measure(() => addJobs(database)));
        best.one = better(best.one, await measure(() => runJobs(database, 1)));
        await addJobs(database);
        best.eight = better(best.eight, await measure(() => runJobs(database, 8)));
        await addJobs(database);
        best.bare = better(best.bare, await measure(() => runBare(database)));
      }
      const other = `${size.toLocaleString('en')} ${status}`;
      for (const [clients, runs] of [
        [1, best.one],
        [8, best.eight],
      ] as const)
        print(
          `| ${dialect} | ${other} | ${clients} | ${best.add.rate} | ${runs.rate} | ${runs.cpu} | ${best.bare.rate} | ${(runs.rate / best.bare.rate).toFixed(2)} |`,
        );
      await database.close();
    }
if (!given.length) await publish('scaling.md', 'queue', lines.join('\n'));

async function measure(work: () => Promise<unknown>): Promise<Speed> {
  const start = performance.now();
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  const rate = Math.round(JOBS / ((performance.now() - start) / 1000));
  return { rate, cpu: Math.round((user + system) / JOBS) };
}

function better(a: Speed, b: Speed): Speed {
  return { rate: Math.max(a.rate, b.rate), cpu: Math.min(a.cpu, b.cpu) };
}

/** Jobs that nobody runs here: finished, or queued behind the ones that are measured. */
async function fill({ db }: TestDatabase, count: number, status: 'succeeded' | 'queued'): Promise<void> {
  const numbers = isPostgres(db)
    ? sql`select generate_series(1, ${count}::int) as n`
    : sql`with recursive r(n) as (select 1 union all select n + 1 from r where n < ${count}) select n from r`;
  await sql`
    insert into job (id, key, task, owner, status, priority, turn, attempts, max_attempts, run_at, payload,
                     created_at, finished_at)
    select 'other' || n, 'other' || n, 'bench', 'owner' || (n % 100), ${sql.lit(status)}, -1, n / 100, 1, 5, 1, '{}',
           1, ${status === 'succeeded' ? sql.lit(1) : sql.lit(null)}
      from (${numbers}) as numbers`.execute(db);
  await sql`analyze`.execute(db); // plans must be good with statistics and without
}

async function addJobs({ db }: TestDatabase): Promise<void> {
  const owner = (): string => `owner${serial % 10}`;
  for (let from = 0; from < JOBS; from += 100)
    await transact(db, async (trx) => {
      for (let i = 0; i < 100; i++) await add(trx, { key: `job${serial++}`, task: 'bench', owner: owner() });
    });
}

async function runJobs({ db }: TestDatabase, clients: number): Promise<void> {
  let left = JOBS;
  const run = async (worker: string): Promise<void> => {
    while (left-- > 0) {
      const job = await claim(db, { worker, tasks: ['bench'], leaseMs: 30_000 });
      if (job?.key.startsWith('job')) await succeed(db, job, undefined);
      else throw new Error(`claimed ${job?.key ?? 'nothing'}`);
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, client) => run(`client${client}`)));
}
