import { sql } from 'kysely';
import type { Db } from '../../db/dialect.ts';
import type { EventRow } from '../../db/schema.ts';
import { transact } from '../../db/transaction.ts';
import { DIALECTS, openTestDatabase, type TestDatabase } from '../../test/databases.ts';
import { emit, lastEventId, type EventFilter } from './events.ts';
import { createFeed, type Feed, type FeedOptions } from './feed.ts';

describe.each(DIALECTS)('the feed on %s', (dialect) => {
  let database: TestDatabase;
  let db: Db;
  const feeds: Feed[] = [];
  beforeEach(async () => {
    database = await openTestDatabase(dialect);
    db = database.db;
  });
  afterEach(async () => {
    for (const feed of feeds.splice(0)) feed.close();
    await database.close();
  });
  const openFeed = (options?: FeedOptions): Feed => {
    const feed = createFeed(db, options);
    feeds.push(feed);
    return feed;
  };
  const event = (n: number, mediaId = 'm1', owner = 'ann') =>
    ({ type: 'media.updated', owner, mediaId, payload: { n } }) as const;
  const publish = (n: number, mediaId?: string, owner?: string) =>
    transact(db, (trx) => Promise.resolve(emit(trx, event(n, mediaId, owner))));

  const publishAll = async (from: number, to: number, atOnce: number) => {
    for (let n = from; n <= to; n += atOnce)
      await transact(db, (trx) =>
        Promise.resolve(emit(trx, ...range(n, Math.min(n + atOnce - 1, to)).map((m) => event(m)))),
      );
  };

  /** Collects what a subscriber gets; `reads` may hold it up. */
  const read = async (
    feed: Feed,
    {
      filter = {},
      afterId,
      reads,
    }: { filter?: EventFilter; afterId?: number; reads?: () => Promise<void> } = {},
  ) => {
    const got: number[] = [];
    const ids: number[] = [];
    let ended = false;
    let look = (): void => undefined;
    const subscription = await feed.subscribe({
      filter,
      afterId,
      async onEvents(events: EventRow[]) {
        for (const { id, payload } of events) {
          ids.push(id);
          got.push((JSON.parse(payload) as { n: number }).n);
        }
        look();
        await reads?.();
      },
      onEnd() {
        ended = true;
        look();
      },
    });
    const until = (condition: () => boolean) =>
      new Promise<void>((resolve) => {
        look = () => {
          if (condition()) resolve();
        };
        look();
      });
    return {
      got,
      ids,
      ended: () => ended,
      close: () => subscription.close(),
      untilLast: (n: number) => until(() => got.at(-1) === n),
      untilEnd: () => until(() => ended),
    };
  };
  const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

  it('gives what comes, in order, with growing ids', async () => {
    await publish(1);
    const reader = await read(openFeed());
    for (const n of [2, 3, 4]) await publish(n);
    await reader.untilLast(4);
    expect(reader.got).toEqual([2, 3, 4]);
    expect(reader.ids).toEqual([...new Set(reader.ids)].sort((a, b) => a - b));
  });

  it('replays what was missed, then goes on, without gap or repetition', async () => {
    const feed = openFeed();
    const early = await read(feed);
    await publishAll(1, 1200, 100); // more than two pages
    const [first] = await db.selectFrom('event').select('id').orderBy('id').limit(1).execute();
    const replaying = read(feed, { afterId: first!.id });
    await publishAll(1201, 1400, 7);
    const late = await replaying;
    await publishAll(1401, 1500, 7);
    await Promise.all([early.untilLast(1500), late.untilLast(1500)]);
    expect(early.got).toEqual(range(1, 1500));
    expect(late.got).toEqual(range(2, 1500));
  });

  it('misses nothing that several write at the same time', async () => {
    const reader = await read(openFeed());
    await Promise.all(
      range(1, 4).map(async (w) => {
        for (const i of range(1, 20)) await publish(w * 1000 + i);
      }),
    );
    await publish(0);
    await reader.untilLast(0);
    expect(reader.got).toHaveLength(81);
    expect(new Set(reader.got).size).toBe(81);
  });

  it('gives each what it asked for', async () => {
    const feed = openFeed();
    const m2 = await read(feed, { filter: { mediaId: 'm2' } });
    const bob = await read(feed, { filter: { owner: 'bob' }, afterId: 0 });
    const all = await read(feed, { afterId: 0 });
    await publish(1, 'm1', 'ann');
    await publish(2, 'm2', 'ann');
    await publish(3, 'm3', 'bob');
    await publish(4, 'm2', 'bob');
    await Promise.all([m2.untilLast(4), bob.untilLast(4), all.untilLast(4)]);
    expect([m2.got, bob.got, all.got]).toEqual([
      [2, 4],
      [3, 4],
      [1, 2, 3, 4],
    ]);
  });

  it('waits for a slow reader, and for nobody because of it', async () => {
    const feed = openFeed();
    let release!: () => void;
    const held = new Promise<void>((resolve) => (release = resolve));
    const slow = await read(feed, { reads: () => held });
    const quick = await read(feed);
    await publishAll(1, 700, 20);
    await quick.untilLast(700);
    const whileHeld = slow.got.length;
    expect(whileHeld).toBeLessThan(700);
    release();
    await slow.untilLast(700);
    expect(slow.got).toEqual(range(1, 700));
  });

  it('sees what another process wrote', async () => {
    const reader = await read(openFeed({ pollMs: 20 }));
    const row = { type: 'media.updated', owner: 'ann', mediaId: 'm1', payload: '{"n":7}', createdAt: 0 };
    await db.insertInto('event').values(row).execute(); // rings no bell in this process
    await reader.untilLast(7);
  });

  it('starts now when it is asked for the future', async () => {
    await publish(1);
    const reader = await read(openFeed(), { afterId: 10 ** 9 });
    await publish(2);
    await reader.untilLast(2);
    expect(reader.got).toEqual([2]);
  });

  it('goes on where it stood after the database was away', async () => {
    const reader = await read(openFeed({ pollMs: 5, retryMs: 5 }));
    await publish(1);
    await reader.untilLast(1);
    await sql`alter table event rename to gone`.execute(db);
    await new Promise((resolve) => setTimeout(resolve, 50)); // let it fail
    await sql`alter table gone rename to event`.execute(db);
    await publish(2);
    await reader.untilLast(2);
    expect(reader.got).toEqual([1, 2]);
  });

  it('ends a reader that fails, and only that one', async () => {
    const feed = openFeed();
    const bad = await read(feed, { reads: () => Promise.reject(new Error('no')) });
    const good = await read(feed);
    await publish(1);
    await bad.untilEnd();
    await publish(2);
    await good.untilLast(2);
    expect(bad.got).toEqual([1]);
  });

  it('gives nothing after close, and ends all when it is closed itself', async () => {
    const feed = openFeed();
    const left = await read(feed);
    const stays = await read(feed);
    left.close();
    await publish(1);
    await stays.untilLast(1);
    expect([left.got, left.ended()]).toEqual([[], false]);
    feed.close();
    expect(stays.ended()).toBe(true);
    expect((await read(feed)).ended()).toBe(true);
  });

  it('reads nothing while nobody is subscribed, and starts again', async () => {
    const feed = openFeed();
    (await read(feed)).close();
    for (const n of range(1, 3)) await publish(n);
    const again = await read(feed);
    await publish(4);
    await again.untilLast(4);
    expect(again.got).toEqual([4]);
    expect(again.ids).toEqual([await lastEventId(db)]);
  });
});
