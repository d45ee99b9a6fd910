/** Leases and fencing, on both databases, with several holders as separate processes would be. */
import { jest } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { openDatabase, type Db } from '../../db/dialect.ts';
import { transact } from '../../db/transaction.ts';
import { newId } from '../../server/ids.ts';
import { createHolderNames } from '../../server/holder.ts';
import { Leases, type LeaseOptions } from '../../server/uploads/ledger/leases.ts';
import { commit, insertUpload, LeaseLostError } from '../../server/uploads/ledger/ledger.ts';
import { DIALECTS, openTestDatabase, type TestDatabase } from '../databases.ts';

const never: LeaseOptions = { pollMs: 1_000_000 };

describe.each(DIALECTS)('leases on %s', (dialect) => {
  let database: TestDatabase;
  const opened: { leases: Leases; db: Db }[] = [];

  beforeAll(async () => void (database = await openTestDatabase(dialect)));
  afterAll(async () => {
    for (const { leases, db } of opened) {
      await leases.close();
      if (db !== database.db) await db.destroy();
    }
    await database.close();
  });

  /**
   * Leases of another process: own names, nothing shared but the database. (On SQLite the connection too: waiting for
   * a lock blocks the thread, so two connections of one process would wait for each other.)
   */
  function open(options: LeaseOptions = {}): Leases {
    const { url, file } = database;
    const db = url ? openDatabase({ url, file, poolSize: 3 }) : database.db;
    const leases = new Leases(db, pino({ level: 'silent' }), { pollMs: 20, ...options });
    opened.push({ leases, db });
    return leases;
  }

  async function upload(): Promise<string> {
    const id = newId();
    await transact(database.db, (trx) =>
      insertUpload(trx, {
        ...{ id, mediaId: null, owner: 'alice', kind: 'single', length: 100, key: 'k' },
        ...{ metadata: null, idempotencyKey: null, expiresAt: null },
      }),
    );
    return id;
  }

  it('raise the epoch with every holder', async () => {
    const leases = open();
    const id = await upload();
    for (const epoch of [1, 2, 3]) {
      const lease = await leases.acquire(id);
      expect(lease.upload.epoch).toBe(epoch);
      await lease.release();
    }
  });

  it('are not given on what does not exist', async () => {
    await expect(open().acquire(newId())).rejects.toMatchObject({ status: 404 });
  });

  it.each(['the same process', 'another process'])(
    'go to a newer request of %s when the holder let go',
    async (where) => {
      const holder = open();
      const id = await upload();
      const first = await holder.acquire(id);
      let released = false;
      const flushed = new Promise<void>((resolve) =>
        first.signal.addEventListener('abort', () => {
          setTimeout(() => {
            released = true;
            void first.release().then(resolve);
          }, 50);
        }),
      );
      const second = await (where === 'the same process' ? holder : open()).acquire(id);
      expect(first.signal.reason).toBe('wanted');
      expect(released).toBe(true);
      expect(second.upload.epoch).toBe(first.upload.epoch + 1);
      expect(second.usurped).toBe(false);
      await flushed;
      await second.release();
    },
  );

  it('are renewed as long as they are held', async () => {
    const holder = open({ leaseMs: 2_000 });
    const id = await upload();
    const lease = await holder.acquire(id);
    const other = open();
    for (const until = Date.now() + 2_500; Date.now() < until; await sleep(50))
      expect(await other.tryAcquire(id)).toBeUndefined();
    expect(() => lease.check()).not.toThrow();
    await lease.release();
  });

  it('are renewed although the clock was set back by an hour', async () => {
    const holder = open({ leaseMs: 400 });
    const before = await holder.acquire(await upload()); // its renewal is timed by the clock as it was
    await sleep(200);
    const real = Date.now.bind(Date);
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => real() - 3_600_000);
    const after = await holder.acquire(await upload());
    try {
      await sleep(1_000);
      expect([before.signal.aborted, after.signal.aborted]).toEqual([false, false]);
      expect(() => after.check()).not.toThrow();
    } finally {
      await Promise.all([before.release(), after.release()]);
      clock.mockRestore();
    }
  });

  it('of a paused holder lapse, and it can commit nothing any more', async () => {
    const paused = await open({ ...never, leaseMs: 100 }).acquire(await upload());
    const { id } = paused.upload;
    const second = await open().acquire(id);
    expect(second.usurped).toBe(true);
    expect(() => paused.check()).toThrow(LeaseLostError);
    await expect(commit(database.db, paused, { offset: 50 })).rejects.toThrow(LeaseLostError);
    await commit(database.db, second, { offset: 10 });
    await expect(commit(database.db, second, { offset: 9 })).rejects.toThrow(LeaseLostError);
    await paused.release(); // must not free what is not its own any more
    expect(await open().tryAcquire(id)).toBeUndefined();
    await second.release();
  });

  it('of a process that died are taken at once', async () => {
    const names = createHolderNames();
    const id = await upload();
    const expiresAt = Date.now() + 3_600_000;
    await database.db
      .insertInto('uploadLock')
      .values({ uploadId: id, holder: names.next(), wanted: 0, expiresAt })
      .execute();
    const leases = open({ waitMs: 0 });
    await expect(leases.acquire(id)).rejects.toMatchObject({ status: 423, code: 'locked' });
    names.retire();
    const lease = await leases.acquire(id);
    expect(lease.usurped).toBe(false);
    await lease.release();
  });

  it('are held by one at a time, whoever asks', async () => {
    const patient = { waitMs: 120_000 };
    const processes = [open(patient), open(patient), open(patient)];
    const id = await upload();
    let holders = 0;
    let turns = 0;
    await Promise.all(
      Array.from({ length: 12 }, async (_, i) => {
        const lease = await processes[i % 3]!.acquire(id);
        expect(++holders).toBe(1);
        await commit(database.db, lease, { offset: ++turns });
        holders--;
        await lease.release();
      }),
    );
    expect(turns).toBe(12);
  });

  it('are waited for without spinning', async () => {
    const holder = open();
    const id = await upload();
    const lease = await holder.acquire(id);
    const waiting = open({ waitMs: 1_000, pollMs: 300 });
    let looks = 0;
    waiting.tryAcquire = (...args) => {
      looks++;
      return Leases.prototype.tryAcquire.apply(waiting, args);
    };
    await expect(waiting.acquire(id)).rejects.toMatchObject({ status: 423 });
    expect(looks).toBeGreaterThan(1);
    expect(looks).toBeLessThanOrEqual(5); // at once, after 300, 600 and 900 ms, and at the end
    await lease.release();
  });

  it('end with the server', async () => {
    const holder = open();
    const lease = await holder.acquire(await upload());
    lease.signal.addEventListener('abort', () => void lease.release());
    await holder.close();
    expect(lease.signal.reason).toBe('shutdown');
    await expect(holder.acquire(lease.upload.id)).rejects.toMatchObject({ status: 503 });
  });
});
