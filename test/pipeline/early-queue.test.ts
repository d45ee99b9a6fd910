/** The job that follows an upload, when nobody runs it; on both databases. */
import type { Db } from '../../db/dialect.ts';
import { transact } from '../../db/transaction.ts';
import { loadConfig } from '../../server/config.ts';
import { claim, release } from '../../server/jobs/queue.ts';
import { transition } from '../../server/media/media.ts';
import { addEarly, advance, sweepEarly } from '../../server/pipeline/index.ts';
import { DIALECTS } from '../databases.ts';
import { openMedia, type OneMedia } from './one-media.ts';

const config = loadConfig({});

describe.each(DIALECTS)('on %s', (dialect) => {
  let one: OneMedia;
  let db: Db;
  let id: string;
  beforeEach(async () => {
    one = await openMedia(dialect, (trx, media) => addEarly(trx, media, { watch: true }));
    ({ db, id } = one);
  });
  afterEach(() => one.close());

  const jobs = (): Promise<string[]> => one.jobs();
  const follow = async () => (await claim(db, { worker: 'w', tasks: ['early'], leaseMs: 60_000 }))!;
  const complete = (): Promise<void> =>
    transact(db, async (trx) => {
      const whole = await transition(trx, id, 'processing', { attempt: 1 }, { sourceKey: 'media/a/source' });
      await advance(trx, whole!, config.encoding);
    });
  const sweep = (): Promise<void> => sweepEarly({ db, config });

  it('is not waited for when the upload is whole', async () => {
    await complete();
    expect(await jobs()).toEqual(['early cancelled', 'probe queued']);
  });

  it('is waited for while it runs, and no longer when it was handed back', async () => {
    const job = await follow();
    await complete();
    await sweep();
    expect(await jobs()).toEqual(['early running']);
    await release(db, job);
    await sweep();
    expect(await jobs()).toEqual(['early cancelled', 'probe queued']);
    await sweep();
    expect(await jobs()).toEqual(['early cancelled', 'probe queued']);
  });

  it('stays in the queue while the upload goes on', async () => {
    await release(db, await follow());
    await sweep();
    expect(await jobs()).toEqual(['early queued']);
  });
});
