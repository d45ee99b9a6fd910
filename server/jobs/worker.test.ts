import { getMaxListeners } from 'node:events';
import { sql } from 'kysely';
import { pino } from 'pino';
import type { Db, Trx } from '../../db/dialect.ts';
import { transact } from '../../db/transaction.ts';
import { DIALECTS, openTestDatabase, type TestDatabase } from '../../test/databases.ts';
import { eventually } from '../../test/server.ts';
import { JobError, type ClaimedJob, type JobFailure, type JobStop, type NewJob, type Task } from './job.ts';
import * as queue from './queue.ts';
import { startWorker, type Worker, type WorkerOptions } from './worker.ts';

const logger = pino({ level: 'silent' });

/** Resolves when its `open` is called. */
function gate<T = void>() {
  let open!: (value: T) => void;
  const opened = new Promise<T>((resolve) => (open = resolve));
  return { open, opened };
}

/** Runs until it is aborted; says so, and why. */
function endless() {
  const started = gate<ClaimedJob>();
  const stopped = gate<JobStop>();
  const task: Task = ({ job, signal }) =>
    new Promise((_resolve, reject) => {
      started.open(job);
      signal.addEventListener('abort', () => {
        stopped.open(signal.reason as JobStop);
        reject(new Error('aborted'));
      });
    });
  return { task, started: started.opened, stopped: stopped.opened };
}

describe.each(DIALECTS)('a worker on %s', (dialect) => {
  let database: TestDatabase;
  let db: Db;
  const workers: Worker[] = [];
  beforeEach(async () => {
    database = await openTestDatabase(dialect);
    db = database.db;
  });
  afterEach(async () => {
    await Promise.all(workers.splice(0).map((worker) => worker.stop(1_000)));
    await database.close();
  });

  const work = (tasks: Record<string, Task>, options: Partial<WorkerOptions> = {}): Worker => {
    const onFailed = options.onFailed ?? (() => Promise.resolve());
    const worker = startWorker({ db, tasks, concurrency: 2, leaseMs: 30_000, logger, ...options, onFailed });
    workers.push(worker);
    return worker;
  };
  const add = (key: string, job: Partial<NewJob> = {}) =>
    transact(db, (trx) => queue.add(trx, { key, task: 'do', mediaId: 'm1', owner: 'ann', ...job }));
  const row = (key: string) =>
    db.selectFrom('job').selectAll().where('key', '=', key).executeTakeFirstOrThrow();
  const until = (key: string, status: string) => eventually(async () => (await row(key)).status === status);
  const note = (name: string) => (trx: Trx) =>
    trx
      .insertInto('setting')
      .values({ name, value: 'x' })
      .execute()
      .then(() => undefined);
  const notes = async () =>
    (await db.selectFrom('setting').select('name').orderBy('name').execute()).map(({ name }) => name);

  it('runs what it finds and what comes, no more at a time than allowed', async () => {
    let now = 0;
    let most = 0;
    const two = gate();
    work({
      do: async () => {
        most = Math.max(most, ++now);
        if (now === 2) two.open();
        await two.opened;
        now--;
      },
    });
    for (const key of ['a', 'b', 'c', 'd', 'e']) await add(key);
    for (const key of ['a', 'b', 'c', 'd', 'e']) await until(key, 'succeeded');
    expect(most).toBe(2);
  });

  it('lets as many requests as a task has hear of its end, without a warning', async () => {
    const most = gate<number>();
    work({ do: ({ signal }) => Promise.resolve(most.open(getMaxListeners(signal))) });
    await add('a');
    expect(await most.opened).toBe(Infinity);
  });

  it('finds what another process has made ready', async () => {
    await add('a', { runAt: Date.now() + 3_600_000 });
    work({ do: () => Promise.resolve() });
    await new Promise((resolve) => setTimeout(resolve, 100));
    await db.updateTable('job').set({ delayed: 0, runAt: 0 }).execute(); // rings no bell in this process
    await until('a', 'succeeded');
  });

  it("commits a task's result with its completion", async () => {
    work({ do: async ({ job }) => note(job.key) });
    await add('a');
    await until('a', 'succeeded');
    expect(await notes()).toEqual(['a']);
  });

  it('completes nothing whose result can not be committed', async () => {
    const failure: JobFailure = { code: 'gone', message: 'Gone.', permanent: true };
    work({
      do:
        async ({ job }) =>
        async (trx) => {
          await note(job.key)(trx);
          throw new JobError(failure);
        },
    });
    await add('a');
    await until('a', 'failed');
    expect(await row('a')).toMatchObject({ errorCode: 'gone', errorMessage: 'Gone.' });
    expect(await notes()).toEqual([]);
  });

  it('records any error, tries again, and writes the consequences of the last one with it', async () => {
    const onFailed = async (trx: Trx, job: ClaimedJob, failure: JobFailure) =>
      note(`${job.key} ${failure.code} ${job.attempts}`)(trx);
    work({ do: () => Promise.reject(new TypeError('oops')) }, { onFailed });
    await add('a', { maxAttempts: 2 });
    while ((await row('a')).errorCode === null) await new Promise(setImmediate);
    expect(await row('a')).toMatchObject({ attempts: 1, errorCode: 'internal', errorMessage: 'oops' });
    expect((await row('a')).logTail).toContain('TypeError: oops');
    expect(await notes()).toEqual([]);
    await db.updateTable('job').set({ runAt: 0 }).execute();
    await until('a', 'failed');
    expect(await notes()).toEqual(['a internal 2']);
  });

  it.each(['here', 'elsewhere'])('stops a job that is cancelled %s', async (where) => {
    const { task, started, stopped } = endless();
    work({ do: task });
    await add('a');
    const { id } = await started;
    if (where === 'here') await transact(db, (trx) => queue.cancelJob(trx, id));
    else await db.updateTable('job').set({ cancelRequested: 1 }).execute(); // rings no bell in this process
    expect(await stopped).toBe('cancelled');
    await until('a', 'cancelled');
  });

  it('keeps nothing of a job that ends well after its cancel', async () => {
    const started = gate<ClaimedJob>();
    const finish = gate();
    work({
      do: async ({ job }) => {
        started.open(job);
        await finish.opened;
        return note('result');
      },
    });
    await add('a');
    const { id } = await started.opened;
    await transact(db, (trx) => queue.cancelJob(trx, id));
    finish.open();
    await until('a', 'cancelled');
    expect(await notes()).toEqual([]);
  });

  it('stops a job that somebody else has now, and leaves it to them', async () => {
    const { task, started, stopped } = endless();
    work({ do: task });
    await add('a');
    await started;
    await db.updateTable('job').set({ leaseToken: 'theirs', worker: 'them' }).execute();
    expect(await stopped).toBe('lost');
    await workers.pop()!.stop(1_000);
    expect(await row('a')).toMatchObject({ status: 'running', leaseToken: 'theirs', attempts: 1 });
  });

  it('keeps a long job by heartbeats', async () => {
    const { task, started } = endless();
    work({ do: task }, { leaseMs: 3_000 });
    await add('a');
    await started;
    const { leaseUntil, leaseToken } = await row('a');
    for (let renewed = leaseUntil!; renewed < leaseUntil! + 600;) {
      await new Promise(setImmediate);
      const now = await row('a');
      expect(now).toMatchObject({ status: 'running', leaseToken });
      renewed = now.leaseUntil!;
    }
  });

  it('takes over from a worker that died', async () => {
    await add('a');
    await queue.claim(db, { worker: 'dead', tasks: ['do'], leaseMs: 1 });
    work({ do: () => Promise.resolve() }, { leaseMs: 3_000 });
    await until('a', 'succeeded');
    expect((await row('a')).attempts).toBe(2);
  });

  it('stores the newest progress, not each', async () => {
    const ready = gate();
    const done = gate();
    work({
      do: async ({ progress }) => {
        for (let percent = 1; percent <= 500; percent++) progress({ percent });
        ready.open();
        await done.opened;
      },
    });
    await add('a');
    await ready.opened;
    while ((await row('a')).progress !== '{"percent":500}') await new Promise(setImmediate);
    done.open();
    await until('a', 'succeeded');
    const events = await db.selectFrom('event').selectAll().where('type', '=', 'job.progress').execute();
    expect(events).toHaveLength(1);
  });

  it('hands its jobs back when it stops', async () => {
    const { task, started, stopped } = endless();
    const worker = work({ do: task });
    await add('a');
    await started;
    await worker.stop(10_000);
    expect(await stopped).toBe('shutdown');
    expect(await row('a')).toMatchObject({ status: 'queued', attempts: 0, leaseToken: null });
    await add('b');
    expect((await row('b')).status).toBe('queued');
    work({ do: () => Promise.resolve() });
    await until('a', 'succeeded');
    await until('b', 'succeeded');
  });

  it('hands a job back whose task does not listen', async () => {
    const started = gate();
    const ended = gate();
    const worker = work({
      do: async () => {
        started.open();
        await ended.opened;
        return note('too late');
      },
    });
    await add('a');
    await started.opened;
    await worker.stop(10);
    expect((await row('a')).status).toBe('queued');
    ended.open();
    await worker.stop(5_000);
    expect(await row('a')).toMatchObject({ status: 'queued', attempts: 0 });
    expect(await notes()).toEqual([]);
  });

  it('finishes what was done when it is told to stop', async () => {
    const started = gate();
    const worker = work({
      do: ({ signal, job }) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => resolve(note(job.key)));
          started.open();
        }),
    });
    await add('a');
    await started.opened;
    await worker.stop(10_000);
    expect(await row('a')).toMatchObject({ status: 'succeeded' });
    expect(await notes()).toEqual(['a']);
  });

  it('lives through a database that fails', async () => {
    const errors: string[] = [];
    const noticed = gate();
    const listening = pino(
      { level: 'error' },
      {
        write: (line: string) => {
          errors.push(line);
          noticed.open();
        },
      },
    );
    await sql`alter table job rename to gone`.execute(db);
    work({ do: () => Promise.resolve() }, { logger: listening });
    await noticed.opened;
    expect(errors[0]).toContain('the queue can not be read');
    await sql`alter table gone rename to job`.execute(db);
    await add('a');
    await until('a', 'succeeded');
  });

  it('records an end as soon as the database is back', async () => {
    work({
      do: async () => {
        await sql`alter table job rename to gone`.execute(db);
        setTimeout(() => void sql`alter table gone rename to job`.execute(db), 400);
        return note('result');
      },
    });
    await add('a');
    while (!(await notes()).length) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await row('a')).toMatchObject({ status: 'succeeded', attempts: 1 });
  });
});
