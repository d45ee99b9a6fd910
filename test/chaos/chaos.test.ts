/** A few rounds of `npm run test:chaos` on each storage: the long run is in docs/reliability.md. */
import { newSeed } from '../uploads/random.ts';
import { playAll } from './rounds.ts';
import { isClean } from './tally.ts';

const ROUNDS = 3;

it.each([
  { storage: 'disk' as const, database: 'sqlite' as const, servers: 1 },
  { storage: 's3' as const, database: 'postgres' as const, servers: 2 },
])(
  'random cuts, kills and faults on $storage with $servers server(s) on $database lose and double nothing',
  async (combination) => {
    const seed = Number(process.env['TEST_SEED'] ?? newSeed());
    process.stderr.write(`chaos: TEST_SEED=${seed}\n`);
    const said: string[] = [];
    const tallies = await playAll([combination], {
      ...{ seed, rounds: ROUNDS, maxSize: 12 * 1024 * 1024, say: (line) => void said.push(line) },
    });
    for (const tally of Object.values(tallies)) {
      if (!isClean(tally)) throw new Error(said.join('\n'));
      expect(tally.rounds).toBe(ROUNDS);
      expect(tally.objectsChecked).toBeGreaterThan(0);
    }
  },
  600_000,
);
