/**
 * `npm run test:chaos -- [options]`: rounds of random uploads through a network that keeps breaking, onto servers that
 * keep being killed and an S3 that keeps failing. Prints its seed, which with the same options gives the same plans,
 * and a table of figures; exits 1 when anything was lost, wrong, missed or doubled.
 *
 *   --rounds N        in all (40), shared by the combinations below
 *   --minutes N       end after so long, whatever is left
 *   --storage disk|s3|all, --servers 1|2|all, --database sqlite|postgres (two servers and S3: always PostgreSQL)
 *   --seed N          play a run again; --only N plays a single round of it
 *   --size 10MB       largest upload
 *   --encode          instead: one large file (--size, 1GB) that is killed in its encode, too, and must play
 */
import bytes from 'bytes';
import { parseArgs } from 'node:util';
import { newSeed } from '../uploads/random.ts';
import { playAll, type Combination } from './rounds.ts';
import { isClean, tableOf } from './tally.ts';

const { values } = parseArgs({
  options: {
    ...{ rounds: { type: 'string', default: '40' }, minutes: { type: 'string' }, seed: { type: 'string' } },
    ...{ storage: { type: 'string', default: 'all' }, servers: { type: 'string', default: 'all' } },
    ...{ database: { type: 'string' }, size: { type: 'string' }, only: { type: 'string' } },
    encode: { type: 'boolean', default: false },
  },
});

if (values.encode) {
  const { encodeOne } = await import('./encode.ts');
  await encodeOne(values.storage === 's3' ? 's3' : 'disk', bytes.parse(values.size ?? '1GB') ?? 0);
} else {
  const seed = Number(values.seed ?? newSeed());
  console.log(`seed ${seed}: replay with --seed ${seed} and the same options`);
  const combinations = combine(
    values.storage === 'all' ? ['disk', 's3'] : [values.storage],
    values.servers === 'all' ? [1, 2] : [Number(values.servers)],
    values.database,
  );
  const tallies = await playAll(combinations, {
    seed,
    rounds: Math.ceil(Number(values.rounds) / combinations.length),
    minutes: values.minutes === undefined ? undefined : Number(values.minutes) / combinations.length,
    maxSize: values.size === undefined ? undefined : (bytes.parse(values.size) ?? undefined),
    only: values.only === undefined ? undefined : Number(values.only),
    say: (line) => console.log(line),
  });
  console.log(`\n${tableOf(tallies)}\n`);
  const broken = Object.values(tallies).filter((tally) => !isClean(tally)).length;
  console.log(`${combinations.length - broken} passed, ${broken} failed`);
  process.exitCode = broken ? 1 : 0;
}
process.exit(); // a failure may leave connections open

function combine(storages: string[], servers: number[], database?: string): Combination[] {
  return storages.flatMap((storage) =>
    servers.map((count) => ({
      storage: storage === 's3' ? ('s3' as const) : ('disk' as const),
      servers: count,
      database:
        count > 1 || database === 'postgres' || (storage === 's3' && database !== 'sqlite')
          ? ('postgres' as const)
          : ('sqlite' as const),
    })),
  );
}
