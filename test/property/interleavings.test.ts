/** Random histories of the queue and the state machine. SEED replays one: it is in the name of the test. */
import fc from 'fast-check';
import { DIALECTS, openTestDatabase, type TestDatabase } from '../databases.ts';
import { act, actions, drain, newWorld, type Action, type World } from './actions.ts';
import { checkJobs, checkMedia } from './invariants.ts';
import { compare, newModel, predict } from './model.ts';

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
const rounds = Number(process.env.ROUNDS ?? 100);
/** Each has dozens of transactions. */
const TIMEOUT_MS = 180_000 + rounds * 3_000;

describe.each(DIALECTS)(`any interleaving on %s (SEED=${seed})`, (dialect) => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await openTestDatabase(dialect);
  });
  afterAll(() => database.close());

  /** Does an action; an edge to `uploading` or `live` exists from nowhere and must throw. */
  const attempt = async (world: World, action: Action): Promise<unknown> => {
    if (action.do !== 'move' || !['uploading', 'live'].includes(action.to)) return act(world, action);
    await expect(act(world, action)).rejects.toThrow('illegal transition');
    return false;
  };
  const check = async (world: World): Promise<void> => {
    await checkJobs(world.db);
    await checkMedia(world.db);
    await drain(world);
    await checkJobs(world.db);
    const rows = await world.db.selectFrom('job').select(['key', 'status', 'errorCode']).execute();
    expect(rows.filter(({ status }) => status === 'queued' || status === 'running')).toEqual([]);
    const succeeded = rows.filter(({ status }) => status === 'succeeded').map(({ key }) => key);
    expect(world.succeeded.sort()).toEqual(succeeded.sort());
    for (const { key, status, errorCode } of rows)
      if (status === 'failed' && errorCode === 'worker_lost') expect(world.died).toContain(key);
  };

  it(
    'does what the model says, step by step',
    async () => {
      const history = fc.asyncProperty(actions, async (list) => {
        const world = await newWorld(database.db);
        const model = newModel();
        for (const action of list) {
          const leases = [...world.leases];
          const answer = await attempt(world, action);
          expect(answer).toEqual(predict(model, action, leases, answer));
          await compare(world, model);
        }
        await check(world);
      });
      await fc.assert(history, { seed, numRuns: rounds });
    },
    TIMEOUT_MS,
  );

  it(
    'keeps its promises when several act at the same time',
    async () => {
      const together = fc.asyncProperty(actions, actions, actions, async (...actors) => {
        const world = await newWorld(database.db);
        const ends = await Promise.allSettled(
          actors.map(async (list) => {
            for (const action of list) await attempt(world, action);
          }),
        );
        for (const end of ends) if (end.status === 'rejected') throw end.reason;
        await check(world);
      });
      // The order of what happens at the same time is never the same again: shrinking would tell of another failure.
      await fc.assert(together, { seed, numRuns: rounds, endOnFailure: true });
    },
    TIMEOUT_MS,
  );
});
