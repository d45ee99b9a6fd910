import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { transact } from '../../db/transaction.ts';
import { openTestDatabase, type TestDatabase } from '../../test/databases.ts';
import { loadConfig } from '../config.ts';
import type { ClaimedJob } from '../jobs/job.ts';
import { add, claim } from '../jobs/queue.ts';
import { cleanScratch, withScratch } from './scratch.ts';

let database: TestDatabase;
let scratchDir: string;
beforeEach(async () => {
  database = await openTestDatabase('sqlite');
  scratchDir = join(database.dir, 'scratch');
  await mkdir(join(scratchDir, 'somebody-elses'), { recursive: true });
});
afterEach(() => database.close());

const clean = () => cleanScratch({ db: database.db, config: loadConfig({ SCRATCH_DIR: scratchDir }) });
const running = async (key: string, leaseMs: number): Promise<ClaimedJob> => {
  await transact(database.db, (trx) => add(trx, { key, task: 'ladder' }));
  return (await claim(database.db, { worker: 'w', tasks: ['ladder'], leaseMs }))!;
};
const leave = async ({ id, attempts }: ClaimedJob): Promise<string> => {
  const name = `${id}-${attempts}`;
  await mkdir(join(scratchDir, name, 'out'), { recursive: true });
  await mkdir(join(scratchDir, `${name}.reservation`));
  return name;
};

it('removes at the start what killed workers left, and nothing of living ones or of strangers', async () => {
  const living = await leave(await running('living', 60_000));
  await leave(await running('dead', -1));
  const earlier = await running('again', 60_000);
  await leave({ ...earlier, attempts: earlier.attempts - 1 });
  await clean();
  expect((await readdir(scratchDir)).sort()).toEqual(
    [living, `${living}.reservation`, 'somebody-elses'].sort(),
  );
});

it("gives an attempt an empty folder, without its predecessors', and removes it whatever happens", async () => {
  const job = await running('a', 60_000);
  await leave({ ...job, attempts: 7 });
  const failing = withScratch(scratchDir, job, async (folder) => {
    expect(await readdir(folder)).toEqual([]);
    expect(await readdir(scratchDir)).toHaveLength(2);
    throw new Error('no');
  });
  await expect(failing).rejects.toThrow('no');
  expect(await readdir(scratchDir)).toEqual(['somebody-elses']);
});
