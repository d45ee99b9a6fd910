/** Runs one load against several servers in turns (A B C A B C), so that whatever else the machine does hits all alike. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Load, LoadResult } from './load.ts';
import { cpuSeconds, memoryOf, resetPeak } from './processes.ts';
import type { Running } from './subjects.ts';

export interface Measured {
  /** MiB/s. */
  speed: number;
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

/** Medians per subject, in their order. The first load of each is a quarter of the others and not counted. */
export async function measure(
  client: Client,
  subjects: Running[],
  round: Round,
  countCalls: () => number = () => 0,
): Promise<Measured[]> {
  const runs: Measured[][] = subjects.map(() => []);
  const idle = subjects.map(({ pid }) => memoryOf(pid).now);
  for (let i = 0; i <= round.rounds; i++)
    for (const [index, subject] of subjects.entries()) {
      const load = i > 0 ? round : warmUp(round);
      const result = await once_(client, subject, load, idle[index] ?? 0, countCalls);
      if (i > 0) runs[index]?.push(result);
    }
  return runs.map(medians);
}

const warmUp = (round: Round): Round =>
  round.patches > 1
    ? { ...round, patches: Math.ceil(round.patches / 4) }
    : { ...round, patchBytes: Math.ceil(round.patchBytes / 4) };

async function once_(
  client: Client,
  { name, pid, port, headers, clean }: Running,
  load: Omit<Load, 'port' | 'headers'>,
  idle: number,
  countCalls: () => number,
): Promise<Measured> {
  resetPeak(pid);
  const before = cpuSeconds(pid);
  const callsBefore = countCalls();
  const { connections, patchBytes, patches } = load;
  const request = { port, headers, connections, patchBytes, patches };
  const { seconds, bytes, latencies, resumed } = await client.run(request);
  if (resumed)
    console.error(`${name}: ${resumed} PATCHes were resumed; the machine is too busy for true figures`);
  const cpu = cpuSeconds(pid) - before;
  const { peak } = memoryOf(pid);
  const calls = countCalls() - callsBefore;
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

function medians(runs: Measured[]): Measured {
  const of = (pick: (run: Measured) => number): number => median(runs.map(pick));
  return {
    speed: of((run) => run.speed),
    cpu: of((run) => run.cpu),
    peak: of((run) => run.peak),
    perConnection: of((run) => run.perConnection),
    calls: of((run) => run.calls),
    latencies: runs.at(-1)?.latencies ?? [],
  };
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length / 2;
  return ((sorted[Math.ceil(half) - 1] ?? NaN) + (sorted[Math.floor(half)] ?? NaN)) / 2;
}
