/** Ten thousand videos whose webhooks never came: each is looked at, within the share of calls that looking has. */
import { newId } from '../../server/ids.ts';
import { pollDue } from '../../server/providers/poll.ts';
import type { Remote } from '../../server/providers/remote.ts';
import type { Observation, Provider } from '../../server/providers/provider.ts';
import { loadConfig } from '../../server/config.ts';
import { createCloudflare } from '../../server/providers/cloudflare/index.ts';
import { openRate, takeLook } from '../../server/providers/rate.ts';
import { pino } from 'pino';
import { DIALECTS, openTestDatabase, type TestDatabase } from '../databases.ts';

describe.each(DIALECTS)('many waiting rows on %s', (dialect) => {
  const ROWS = dialect === 'sqlite' ? 10_000 : 3_000;
  let database: TestDatabase;
  beforeAll(async () => void (database = await openTestDatabase(dialect)));
  afterAll(() => database.close());

  it('are each looked at once before any is looked at twice, 100 per call', async () => {
    const { db } = database;
    const now = Date.now();
    const rows = Array.from({ length: ROWS }, (_, n) => ({
      ...{ id: newId(), provider: 'cloudflare', mediaId: newId(), mediaAttempt: 1, owner: 'me' },
      ...{ state: 'working', transfer: 'copy', videoId: `video-${n}`, nextAt: now - 1_000_000 + n },
      ...{ createdAt: now, updatedAt: now, deadline: now + 1e9 },
      ...{ refetches: 0, uncertain: 0, tries: 0, misses: 0, epoch: 0, percent: 0 },
    }));
    for (let n = 0; n < ROWS; n += 500)
      await db
        .insertInto('encodeAttempt')
        .values(rows.slice(n, n + 500))
        .execute();
    await openRate(db, 'cloudflare');

    const settings = loadConfig({
      ...{ ENCODER: 'stream', STREAM_ACCOUNT_ID: 'a', STREAM_API_TOKEN: 't', PUBLIC_URL: 'http://localhost' },
    }).stream!;
    const asked: string[] = [];
    const provider: Provider = {
      ...createCloudflare(settings),
      observe: (ids) => {
        asked.push(...ids);
        // Every tenth call fails: its rows must not stand in the way of the others.
        if (asked.length % 1000 === 0) return Promise.reject(new Error('an outage'));
        return Promise.resolve(ids.map((videoId): Observation => ({ ...SEEN, videoId })));
      },
    };
    const logger = pino({ level: 'silent' });
    const observing = { provider: provider.name, advance: () => Promise.resolve(), times: settings.times };
    const remote = { db, provider, settings, observing, logger } as unknown as Remote;
    let polls = 0;
    while ((await pollDue(remote).catch(() => 1)) > 0) polls += 1;
    expect(polls).toBe(ROWS / 100);
    expect(asked).toHaveLength(ROWS);
    expect(new Set(asked).size).toBe(ROWS);
    // Of the 120 calls that looking has in five minutes.
    let left = 0;
    while (await takeLook(db, provider)) left += 1;
    expect(left).toBe(120 - ROWS / 100);
  });
});

const SEEN = { attemptId: undefined, state: 'working', percent: 0, raw: '' } as const;
