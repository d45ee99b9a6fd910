import { sql } from 'kysely';
import { transact } from '../../db/transaction.ts';
import { DIALECTS, openTestDatabase, type TestDatabase } from '../../test/databases.ts';
import { eventually } from '../../test/server.ts';
import { pruneJobs } from './prune.ts';
import * as queue from './queue.ts';

const IN_A_MINUTE = () => Date.now() + 60_000;

let database: TestDatabase;
afterEach(() => database.close());

/** Adds a job and lets it succeed. */
async function finish(key: string, mediaId?: string): Promise<void> {
  const { db } = database;
  await transact(db, (trx) => queue.add(trx, { key, task: 'encode', mediaId }));
  const job = await queue.claim(db, { worker: 'w', tasks: ['encode'], leaseMs: 60_000 });
  await transact(db, (trx) => queue.complete(trx, job!));
}

const left = async (): Promise<string[]> => {
  const rows = await database.db.selectFrom('job').select('key').orderBy('key').execute();
  return rows.map(({ key }) => key);
};

it.each(DIALECTS)(
  'forgets finished jobs, but not of media that are being worked on, or made in parts, on %s',
  async (dialect) => {
    database = await openTestDatabase(dialect);
    const { db } = database;
    const media = { owner: 'ann', title: 'A', visibility: 'private', attempt: 1, createdAt: 1, updatedAt: 1 };
    for (const [id, status] of [
      ['busy', 'playable'],
      ['done', 'ready'],
      ['parts', 'ready'],
    ] as const)
      await db
        .insertInto('media')
        .values({ ...media, id, status })
        .execute();
    const output = { mediaId: 'parts', mediaAttempt: 1, kind: 'hevc', prefix: 'p/', bytes: 0, details: '{}' };
    await db
      .insertInto('output')
      .values({ ...output, id: 'o', createdAt: 1 })
      .execute();
    const segment = { outputId: 'o', rendition: 'v', sequence: 0, uri: '1.m4s', duration: 2, bytes: 1 };
    await db
      .insertInto('segment')
      .values({ ...segment, keyFrames: '[]' })
      .execute();
    for (const mediaId of ['busy', 'done', 'gone', 'parts']) await finish(mediaId, mediaId);
    await transact(db, (trx) => queue.add(trx, { key: 'queued', task: 'encode', mediaId: 'done' }));
    expect(await pruneJobs(db, Date.now() - 60_000)).toBe(0);
    expect(await pruneJobs(db, IN_A_MINUTE())).toBe(2);
    expect(await left()).toEqual(['busy', 'parts', 'queued']);
    await db.deleteFrom('segment').execute();
    expect(await pruneJobs(db, IN_A_MINUTE())).toBe(1);
  },
);

// Rows are deleted in whatever order the planner likes: one of these two is a deadlock, in which the deletion began to
// wait first, and which PostgreSQL therefore ends by its failure.
it.each([
  ['a', 'b'],
  ['b', 'a'],
])('is done again when it was chosen to end a deadlock on postgres (%s before %s)', async (mine, next) => {
  database = await openTestDatabase('postgres');
  const { db } = database;
  for (const key of ['a', 'b']) await finish(key);
  const touch = { progress: null };
  let pruned: Promise<number> | undefined;
  await transact(db, async (trx) => {
    await trx.updateTable('job').set(touch).where('key', '=', mine).execute();
    if (!pruned) {
      pruned = pruneJobs(db, IN_A_MINUTE());
      await eventually(isWaiting);
    }
    await trx.updateTable('job').set(touch).where('key', '=', next).execute();
  });
  expect(await pruned).toBe(2);
  expect(await left()).toEqual([]);
});

/** Somebody waits for a lock of somebody else. */
async function isWaiting(): Promise<boolean> {
  const { rows } = await sql<{ n: number }>`
    select count(*)::int as n from pg_locks
     where not granted and locktype = 'transactionid'
       and pid in (select pid from pg_stat_activity where datname = current_database())`.execute(database.db);
  return rows[0]!.n > 0;
}
