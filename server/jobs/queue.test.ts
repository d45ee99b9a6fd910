import { jest } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import type { Db, Trx } from '../../db/dialect.ts';
import { onCommit, transact } from '../../db/transaction.ts';
import { DIALECTS, openTestDatabase, type TestDatabase } from '../../test/databases.ts';
import { createHolderNames } from '../holder.ts';
import type { ClaimedJob, JobFailure, NewJob } from './job.ts';
import * as queue from './queue.ts';

const LEASE_MS = 30_000;
const broken: JobFailure = { code: 'broken', message: 'It broke.', permanent: false };

describe.each(DIALECTS)('the queue on %s', (dialect) => {
  let database: TestDatabase;
  let db: Db;
  beforeEach(async () => {
    database = await openTestDatabase(dialect);
    db = database.db;
  });
  afterEach(() => database.close());

  const add = (job: Partial<NewJob> & { key: string }) =>
    transact(db, (trx) => queue.add(trx, { task: 'encode', owner: 'ann', mediaId: 'm1', ...job }));
  const claim = (tasks = ['encode']) => queue.claim(db, { worker: 'w1', tasks, leaseMs: LEASE_MS });
  const claimed = async (): Promise<ClaimedJob> => {
    const job = await claim();
    if (!job) throw new Error('nothing to claim');
    return job;
  };
  const keys = async (count: number) => {
    const found: (string | undefined)[] = [];
    for (let i = 0; i < count; i++) found.push((await claim())?.key);
    return found;
  };
  const complete = (job: ClaimedJob) => transact(db, (trx) => queue.complete(trx, job));
  const fail = (job: ClaimedJob, failure = broken) => transact(db, (trx) => queue.fail(trx, job, failure));
  const row = (key: string) =>
    db.selectFrom('job').selectAll().where('key', '=', key).executeTakeFirstOrThrow();
  const statuses = async () =>
    (
      await db.selectFrom('event').select('payload').where('type', '=', 'job.status').orderBy('id').execute()
    ).map((event) => (JSON.parse(event.payload) as { status: string }).status);
  const lapse = () =>
    db
      .updateTable('job')
      .set({ leaseUntil: Date.now() - 1 })
      .execute();
  const makeDue = () =>
    db
      .updateTable('job')
      .set({ runAt: Date.now() - 1 })
      .execute();
  const died: [string, JobFailure][] = [];
  const requeue = () =>
    queue.requeueLapsed(db, async (_trx, job, failure) => void died.push([job.key, failure]));
  beforeEach(() => died.splice(0));

  it('runs a job from add to complete and tells each step', async () => {
    expect(await add({ key: 'a', payload: { rung: 720 }, mediaAttempt: 2 })).toBe(true);
    const job = await claimed();
    expect(job).toMatchObject({ key: 'a', task: 'encode', mediaId: 'm1', mediaAttempt: 2, owner: 'ann' });
    expect(job).toMatchObject({ payload: { rung: 720 }, attempts: 1, maxAttempts: 5 });
    expect(await row('a')).toMatchObject({ status: 'running', worker: 'w1', leaseToken: job.leaseToken });
    expect(await complete(job)).toBe(true);
    expect(await row('a')).toMatchObject({
      status: 'succeeded',
      worker: null,
      leaseToken: null,
      leaseUntil: null,
    });
    expect(await statuses()).toEqual(['queued', 'running', 'succeeded']);
    const event = await db.selectFrom('event').selectAll().orderBy('id', 'desc').executeTakeFirstOrThrow();
    expect(event).toMatchObject({ type: 'job.status', owner: 'ann', mediaId: 'm1', jobId: job.id });
    expect(JSON.parse(event.payload)).toEqual({
      jobId: job.id,
      task: 'encode',
      status: 'succeeded',
      attempts: 1,
    });
  });

  it('adds a key once', async () => {
    expect(await add({ key: 'a', payload: { first: true } })).toBe(true);
    expect(await add({ key: 'a', payload: { first: false } })).toBe(false);
    expect((await row('a')).payload).toBe('{"first":true}');
    expect(await statuses()).toEqual(['queued']);
  });

  it('adds nothing when its transaction fails', async () => {
    const failing = transact(db, async (trx) => {
      await queue.add(trx, { key: 'a', task: 'encode' });
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(await claim()).toBeUndefined();
    expect(await statuses()).toEqual([]);
  });

  it.each(['ann', undefined])(
    'adds many of %s at once, in their order, but those that are there',
    async (owner) => {
      const many = Array.from({ length: 1_200 }, (_, n) => ({
        key: `n${n}`,
        task: 'encode',
        ...(owner && { owner }),
      }));
      await transact(db, (trx) => queue.add(trx, many[7]!));
      expect(await transact(db, (trx) => queue.addAll(trx, many))).toBe(1_199);
      const news = await db.selectFrom('event').select('id').where('type', '=', 'job.status').execute();
      expect(news).toHaveLength(1_200);
      const inOrder = many.map(({ key }) => key).filter((key) => key !== 'n7');
      expect(await keys(101)).toEqual(['n7', ...inOrder.slice(0, 100)]);
      expect(await transact(db, (trx) => queue.addAll(trx, []))).toBe(0);
    },
  );

  it('claims by priority, then time, and only what is due and known', async () => {
    await add({ key: 'old', owner: undefined, runAt: 1 });
    await add({ key: 'older', owner: undefined, runAt: 0 });
    await add({ key: 'urgent', priority: 5 });
    await add({ key: 'later', runAt: Date.now() + 60_000 });
    await add({ key: 'other', task: 'unknown', priority: 9 });
    expect(await keys(4)).toEqual(['urgent', 'older', 'old', undefined]);
    expect((await claim(['unknown']))?.key).toBe('other');
  });

  it('lets owners take turns', async () => {
    for (const key of ['a1', 'a2', 'a3', 'a4']) await add({ key });
    expect(await keys(2)).toEqual(['a1', 'a2']);
    await add({ key: 'b1', owner: 'bob' });
    await add({ key: 'b2', owner: 'bob' });
    await add({ key: 'a5' });
    expect(await keys(5)).toEqual(['a3', 'b1', 'a4', 'b2', 'a5']);
  });

  it('gives a newcomer no credit for the time before it came', async () => {
    for (const key of ['a1', 'a2', 'a3']) await add({ key });
    for (let i = 0; i < 3; i++) await complete(await claimed());
    await add({ key: 'a4' });
    for (const key of ['b1', 'b2', 'b3']) await add({ key, owner: 'bob' });
    await add({ key: 'a5' });
    expect(await keys(5)).toEqual(['a4', 'b1', 'b2', 'a5', 'b3']);
  });

  it('renews a lease and stores progress', async () => {
    await add({ key: 'a' });
    const job = await claimed();
    const before = await row('a');
    expect(await queue.heartbeat(db, job, 2 * LEASE_MS)).toBe('ok');
    expect((await row('a')).leaseUntil).toBeGreaterThan(before.leaseUntil!);
    expect(await queue.heartbeat(db, job, LEASE_MS, { percent: 12.5, speed: 3 })).toBe('ok');
    expect((await row('a')).progress).toBe('{"percent":12.5,"speed":3}');
    const events = await db.selectFrom('event').selectAll().where('type', '=', 'job.progress').execute();
    expect(events).toMatchObject([{ owner: 'ann', mediaId: 'm1', jobId: job.id }]);
    expect(JSON.parse(events[0]!.payload)).toEqual({ task: 'encode', percent: 12.5, speed: 3 });
  });

  it('retries after a growing delay and keeps the last failure', async () => {
    await add({ key: 'a', maxAttempts: 3 });
    for (const [attempt, seconds] of [15, 30].entries()) {
      const start = Date.now();
      const failure = {
        ...broken,
        message: `Attempt ${attempt + 1}`,
        exitStatus: '137',
        logTail: 'last words',
      };
      expect(await fail(await claimed(), failure)).toBe('retry');
      const queued = await row('a');
      expect(queued).toMatchObject({ status: 'queued', errorCode: 'broken', errorMessage: failure.message });
      expect(queued).toMatchObject({
        exitStatus: '137',
        logTail: 'last words',
        leaseToken: null,
        finishedAt: null,
      });
      expect(queued.runAt).toBeGreaterThanOrEqual(start + seconds * 500);
      expect(queued.runAt).toBeLessThanOrEqual(Date.now() + seconds * 1000);
      expect(await claim()).toBeUndefined();
      await makeDue();
    }
    expect(await fail(await claimed())).toBe('failed');
    expect(await row('a')).toMatchObject({ status: 'failed', attempts: 3, exitStatus: null, logTail: null });
    expect((await row('a')).finishedAt).not.toBeNull();
  });

  it('does not retry what is permanent', async () => {
    await add({ key: 'a' });
    expect(await fail(await claimed(), { ...broken, permanent: true })).toBe('failed');
    await makeDue();
    expect(await claim()).toBeUndefined();
  });

  it('gives a released attempt back at once and uncounted', async () => {
    await add({ key: 'a', maxAttempts: 1 });
    const job = await claimed();
    await queue.release(db, job);
    const again = await claimed();
    expect(again).toMatchObject({ key: 'a', attempts: 1 });
    await queue.release(db, job); // an old token
    expect((await row('a')).status).toBe('running');
  });

  it('cancels a queued job at once and a running one when its worker ends', async () => {
    await add({ key: 'a' });
    await add({ key: 'b' });
    const job = await claimed();
    expect(await queue.stopsOf(db, [job])).toEqual(new Map());
    expect(await transact(db, (trx) => queue.cancelMediaJobs(trx, 'm1'))).toBe(2);
    expect(await row('b')).toMatchObject({ status: 'cancelled' });
    expect(await row('a')).toMatchObject({ status: 'running', cancelRequested: 1, finishedAt: null });
    expect(await queue.heartbeat(db, job, LEASE_MS)).toBe('cancel');
    expect(await queue.stopsOf(db, [job])).toEqual(new Map([[job.id, 'cancelled']]));
    expect(await complete(job)).toBe(false);
    expect(await fail(job)).toBe('cancelled');
    expect(await row('a')).toMatchObject({ status: 'cancelled', errorCode: null, leaseToken: null });
    expect(await transact(db, (trx) => queue.cancelJob(trx, job.id))).toBeUndefined();
    expect(await claim()).toBeUndefined();
  });

  it('ends a cancelled job whose worker is gone, or handed it back', async () => {
    for (const key of ['a', 'b']) {
      await add({ key });
      const job = await claimed();
      await transact(db, (trx) => queue.cancelJob(trx, job.id));
      if (key === 'a') await queue.release(db, job);
      else {
        await lapse();
        expect(await requeue()).toBe(1);
      }
      expect((await row(key)).status).toBe('cancelled');
    }
    expect(died).toEqual([]);
  });

  it('retries by hand with all attempts', async () => {
    await add({ key: 'a', maxAttempts: 1 });
    const { id } = await claimed();
    expect(await transact(db, (trx) => queue.retryJob(trx, id))).toBeUndefined();
    await lapse();
    await requeue();
    expect(await transact(db, (trx) => queue.retryJob(trx, id))).toMatchObject({
      status: 'queued',
      attempts: 0,
    });
    expect(await complete(await claimed())).toBe(true);
  });

  it('takes a lapsed lease away, once, and ignores the old token', async () => {
    await add({ key: 'a' });
    const old = await claimed();
    expect(await requeue()).toBe(0);
    await lapse();
    expect((await Promise.all([requeue(), requeue()])).sort()).toEqual([0, 1]);
    expect(await row('a')).toMatchObject({ status: 'queued', attempts: 1, errorCode: 'worker_lost' });
    const job = await claimed();
    expect(job.attempts).toBe(2);
    const before = await row('a');
    expect(await queue.heartbeat(db, old, LEASE_MS, { percent: 50 })).toBe('lost');
    expect(await queue.stopsOf(db, [old, job])).toEqual(new Map([[job.id, 'lost']]));
    expect(await complete(old)).toBe(false);
    expect(await fail(old)).toBe('lost');
    await queue.release(db, old);
    expect(await row('a')).toEqual(before);
    expect(await complete(job)).toBe(true);
  });

  it('lets a lapsed lease complete when nobody took it', async () => {
    await add({ key: 'a' });
    const job = await claimed();
    await lapse();
    expect(await complete(job)).toBe(true);
    expect(await requeue()).toBe(0);
  });

  it('ends a job that kills its worker every time', async () => {
    await add({ key: 'a', maxAttempts: 3 });
    for (let attempt = 1; attempt <= 3; attempt++) {
      expect((await claimed()).attempts).toBe(attempt);
      await lapse();
      expect(await requeue()).toBe(1);
    }
    expect(await row('a')).toMatchObject({ status: 'failed', attempts: 3, errorCode: 'worker_lost' });
    expect(died).toMatchObject([['a', { code: 'worker_lost' }]]);
    expect(await claim()).toBeUndefined();
  });

  it('takes the job of a process that is dead at once, and of no other', async () => {
    const [ours, ended] = [createHolderNames(), createHolderNames()];
    const gone = execFileSync(process.execPath, ['-p', 'process.pid'], { encoding: 'utf8' }).trim();
    const named = (name: string, part: number, text: string): string =>
      name
        .split(':')
        .map((own, n) => (n === part ? text : own))
        .join(':');
    const workers = {
      living: ours.next(),
      stopped: ended.next(),
      killed: named(ours.next(), 1, gone),
      elsewhere: named(named(ours.next(), 1, gone), 2, 'another machine'),
      nobody: 'w1',
    };
    for (const [key, worker] of Object.entries(workers)) {
      await add({ key });
      await queue.claim(db, { worker, tasks: ['encode'], leaseMs: LEASE_MS });
    }
    ended.retire();
    expect(await requeue()).toBe(2);
    for (const key of ['stopped', 'killed'])
      expect(await row(key)).toMatchObject({ status: 'queued', errorCode: 'worker_lost' });
    for (const key of ['living', 'elsewhere', 'nobody']) expect((await row(key)).status).toBe('running');
  });

  it('leaves a job whose lease is renewed in the last moment', async () => {
    for (const key of ['a', 'b']) {
      await add({ key, maxAttempts: 1 });
      await claimed();
    }
    await db.updateTable('job').set({ leaseUntil: 1 }).where('key', '=', 'a').execute();
    await db.updateTable('job').set({ leaseUntil: 2 }).where('key', '=', 'b').execute();
    const renewB = async (trx: Trx) =>
      void (await trx
        .updateTable('job')
        .set({ leaseUntil: Date.now() + 9_999 })
        .where('key', '=', 'b')
        .execute());
    expect(await queue.requeueLapsed(db, renewB)).toBe(1);
    expect([(await row('a')).status, (await row('b')).status]).toEqual(['failed', 'running']);
  });

  it('keeps a job that ran out when its consequences can not be written', async () => {
    await add({ key: 'a', maxAttempts: 1 });
    await claimed();
    await lapse();
    await expect(queue.requeueLapsed(db, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect((await row('a')).status).toBe('running');
    expect(await requeue()).toBe(1);
  });

  it('claims what waited for its time as soon as that has come', async () => {
    await add({ key: 'a', runAt: Date.now() + 60_000 });
    expect(await row('a')).toMatchObject({ delayed: 1 });
    expect(await claim()).toBeUndefined();
    await makeDue();
    expect(await queue.promote(db)).toBe(true);
    expect(await row('a')).toMatchObject({ delayed: 0 });
    expect(await queue.promote(db)).toBe(false);
    expect((await claim())?.key).toBe('a');
  });

  it('claims at once what need not wait for its time any more, but no retry', async () => {
    const hasten = (key: string) => transact(db, (trx) => queue.hasten(trx, key));
    await add({ key: 'a', runAt: Date.now() + 60_000 });
    expect(await hasten('b')).toBe(false);
    expect(await hasten('a')).toBe(true);
    expect(await row('a')).toMatchObject({ delayed: 0 });
    expect(await statuses()).toEqual(['queued', 'queued']); // which workers hear
    await fail(await claimed());
    expect(await row('a')).toMatchObject({ status: 'queued', delayed: 1 });
    expect(await hasten('a')).toBe(false);
    await add({ key: 'full' });
    await queue.release(db, await claimed(), { code: 'no_room', message: 'No room.', delayMs: 60_000 });
    expect(await hasten('full')).toBe(false);
  });

  it('claims what was due when it was added by a clock that is ahead', async () => {
    await add({ key: 'a' });
    const now = Date.now() - 3_600_000;
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => now);
    try {
      expect(await queue.isDue(db, ['encode'])).toBe(true);
      expect((await claim())?.key).toBe('a');
    } finally {
      clock.mockRestore();
    }
  });

  it('lets a postponed job wait, with its reason and without counting the attempt', async () => {
    await add({ key: 'a', maxAttempts: 1 });
    const postponement = { code: 'no_room', message: 'There is no room.', delayMs: 60_000 };
    await queue.release(db, await claimed(), postponement);
    expect(await row('a')).toMatchObject({ status: 'queued', attempts: 0, delayed: 1, errorCode: 'no_room' });
    expect(await claim()).toBeUndefined();
    await makeDue();
    expect(await claimed()).toMatchObject({ key: 'a', attempts: 1 });
  });

  it('counts what runs or could run, of a priority or a higher one', async () => {
    await add({ key: 'a', priority: 10 });
    await claimed();
    for (const key of ['b', 'c']) await add({ key, priority: 10 });
    await add({ key: 'd', priority: 20 });
    await add({ key: 'lower', priority: 9 });
    await add({ key: 'later', priority: 10, runAt: Date.now() + 60_000 });
    expect(await queue.countPressing(db, 10, 100)).toBe(4);
    expect(await queue.countPressing(db, 11, 100)).toBe(1);
    expect(await queue.countPressing(db, 10, 3)).toBe(3);
  });

  it('says nothing of a claim that found nothing', async () => {
    let commits = 0;
    const off = onCommit(db, () => commits++);
    await claim();
    expect(commits).toBe(0);
    await add({ key: 'a' });
    expect(commits).toBe(1);
    off();
  });
});
