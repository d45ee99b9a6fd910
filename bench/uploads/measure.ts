/**
 * Runs one load against several servers in turns (A B C, B C A, …), so that whatever else the machine does hits all alike. Each round
 * starts them anew: processes of the same code may differ by a third for as long as they live, by what their collector of
 * garbage found out about them.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { BucketCounts, CountedBucket } from './counted-bucket.ts';
import type { Load, LoadResult } from './load.ts';
import { cpuSeconds, memoryOf, resetPeak } from './processes.ts';
import { start, type Running, type Subject } from './subjects.ts';

export interface Measured {
  /** MiB/s. */
  speed: number;
  /** Its speed, in speeds of the first subject in the same round: the quartiles of all rounds. */
  ratio: Quartiles;
  /** CPU seconds of the server per GiB. */
  cpu: number;
  /** Peak memory of the server in MiB. */
  peak: number;
  /** Of it, what came with the load, per connection, in MiB. */
  perConnection: number;
  /** S3 calls per PATCH. */
  calls: number;
  /** Milliseconds of the PATCHes of one connection, of the last round. */
  latencies: number[];
}

export interface Quartiles {
  low: number;
  median: number;
  high: number;
}

export interface Client {
  run(load: Load): Promise<LoadResult>;
  stop(): void;
}

/** Starts the client process. */
export function startClient(): Client {
  const child: ChildProcess = fork(join(import.meta.dirname, 'load.ts'), { execArgv: ['--import', 'tsx'] });
  return {
    async run(load) {
      child.send(load);
      const [answer] = (await once(child, 'message')) as [{ result?: LoadResult; error?: string }];
      if (!answer.result) throw new Error(answer.error);
      return answer.result;
    },
    stop: () => void child.kill(),
  };
}

export interface Round extends Omit<Load, 'port' | 'headers'> {
  rounds: number;
}

type Run = Omit<Measured, 'ratio'>;

const NO_BUCKET = { counts: (): Promise<BucketCounts> => Promise.resolve({ calls: 0, bytes: Infinity }) };

/**
 * Medians per subject, in their order. Ratios are taken within each round, as a machine's speed changes from one minute to the
 * next. The load comes twice, and the first time, when much of the code was never run before, is not counted. Throws when fewer bytes reached the bucket than were acknowledged.
 * `dir`: where folders of the subjects are made.
 */
export async function measure(
  client: Client,
  subjects: Subject[],
  dir: string,
  round: Round,
  bucket: Pick<CountedBucket, 'counts'> = NO_BUCKET,
): Promise<Measured[]> {
  const runs: Run[][] = subjects.map(() => []);
  for (let i = 0; i < round.rounds; i++) {
    const running = await Promise.all(subjects.map((subject) => start(subject, dir)));
    try {
      const idle = running.map(({ pid }) => memoryOf(pid).now);
      for (const counts of [false, true])
        for (const index of turns(subjects.length, i)) {
          const result = await once_(client, running[index]!, round, idle[index] ?? 0, bucket);
          if (counts) runs[index]?.push(result);
        }
    } finally {
      for (const one of running) await one.stop();
    }
  }
  return runs.map((own) => ({ ...medians(own), ratio: ratios(own, runs[0] ?? own) }));
}

/** 0, 1, 2, … beginning elsewhere in each round, so that nobody always follows the same one. */
const turns = (count: number, round: number): number[] =>
  Array.from({ length: count }, (_, n) => (n + round) % count);

function ratios(runs: Run[], first: Run[]): Quartiles {
  const all = runs.map(({ speed }, round) => speed / (first[round]?.speed ?? NaN));
  return { low: quantile(all, 0.25), median: median(all), high: quantile(all, 0.75) };
}

async function once_(
  client: Client,
  { name, pid, port, headers, clean }: Running,
  load: Omit<Load, 'port' | 'headers'>,
  idle: number,
  bucket: Pick<CountedBucket, 'counts'>,
): Promise<Run> {
  resetPeak(pid);
  const before = cpuSeconds(pid);
  const bucketBefore = await bucket.counts();
  const { connections, patchBytes, patches } = load;
  const request = { port, headers, connections, patchBytes, patches };
  const { seconds, bytes, latencies, resumed } = await client.run(request);
  if (resumed)
    console.error(`${name}: ${resumed} PATCHes were resumed; the machine is too busy for true figures`);
  const cpu = cpuSeconds(pid) - before;
  const { peak } = memoryOf(pid);
  const bucketAfter = await bucket.counts();
  const calls = bucketAfter.calls - bucketBefore.calls;
  if (bucketAfter.bytes < bucketBefore.bytes + bytes) throw new Error(`${name} did not store ${bytes} bytes`);
  await clean();
  const mib = bytes / 1024 ** 2;
  return {
    speed: mib / seconds,
    cpu: cpu / (mib / 1024),
    peak: peak / 1024 ** 2,
    perConnection: Math.max(0, peak - idle) / 1024 ** 2 / connections,
    calls: calls / (connections * patches),
    latencies,
  };
}

function medians(runs: Run[]): Run {
  const of = (pick: (run: Run) => number): number => median(runs.map(pick));
  return {
    speed: of((run) => run.speed),
    cpu: of((run) => run.cpu),
    peak: of((run) => run.peak),
    perConnection: of((run) => run.perConnection),
    calls: of((run) => run.calls),
    latencies: runs.at(-1)?.latencies ?? [],
  };
}

export const median = (values: number[]): number => quantile(values, 0.5);

/** Between two values, what lies between them. */
function quantile(values: number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * part;
  const [below = NaN, above = NaN] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return below + (above - below) * (at - Math.floor(at));
}
