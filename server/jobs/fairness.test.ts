/** One owner's hundred uploads don't keep another waiting, whatever step each is at and however many workers there are. */
import { pino } from 'pino';
import { transact } from '../../db/transaction.ts';
import { DIALECTS, openTestDatabase } from '../../test/databases.ts';
import type { Task } from './job.ts';
import { add } from './queue.ts';
import { startWorker } from './worker.ts';

const logger = pino({ level: 'silent' });
/** Step -> priority, and what follows it. */
const STEPS: Record<string, { priority: number; next?: string }> = {
  probe: { priority: 30, next: 'first' },
  first: { priority: 20, next: 'ladder' },
  ladder: { priority: 10 },
};
const UPLOADS = 40;

it.each(DIALECTS)(
  'on %s',
  async (dialect) => {
    const database = await openTestDatabase(dialect);
    const { db } = database;
    const upload = (owner: string, n: number) =>
      transact(db, (trx) => add(trx, { key: `${owner}${n}:probe`, task: 'probe', owner, priority: 30 }));
    const ran: string[] = [];
    let done!: () => void;
    const all = new Promise<void>((resolve) => (done = resolve));
    let bobCame: Promise<unknown> | undefined;

    const task: Task = async ({ job }) => {
      const { next } = STEPS[job.task]!;
      ran.push(`${job.owner} ${job.task}`);
      if (ran.length === 3 * UPLOADS + 3) done();
      // Bob comes when Ann's ladders have begun: all her urgent steps are done.
      if (job.task === 'ladder') await (bobCame ??= upload('bob', 1));
      return async (trx) => {
        const [media = ''] = job.key.split(':');
        const { owner } = job;
        if (next)
          await add(trx, {
            key: `${media}:${next}`,
            task: next,
            owner: owner!,
            priority: STEPS[next]!.priority,
          });
      };
    };
    for (let n = 0; n < UPLOADS; n++) await upload('ann', n);
    const tasks = { probe: task, first: task, ladder: task };
    const onFailed = () => Promise.resolve();
    const workers = [1, 2].map(() =>
      startWorker({ db, tasks, concurrency: 2, leaseMs: 30_000, logger, onFailed }),
    );
    await all;
    await Promise.all(workers.map((worker) => worker.stop(10_000)));
    await database.close();

    // Everybody's urgent steps come before anybody's ladder.
    const firstLadder = ran.indexOf('ann ladder');
    const annBefore = ran.slice(0, firstLadder).filter((step) => step !== 'ann ladder').length;
    expect(annBefore).toBeGreaterThanOrEqual(2 * UPLOADS - 3); // the last few are running
    // Bob waits for what was running and what was being claimed, not for forty ladders.
    const ladders = ran.filter((step) => step.endsWith('ladder'));
    expect(ladders.indexOf('bob ladder')).toBeLessThan(UPLOADS / 2);
    expect(ran.indexOf('bob probe') - firstLadder).toBeLessThan(12);
  },
  60_000,
);
