/**
 * WEB_CONCURRENCY: several processes on one port of one machine. The first one does what only one should do (jobs,
 * sweeps, greeting); requests go to whichever process is free, also those of one upload, since leases are in the
 * database.
 */
import cluster, { type Worker } from 'node:cluster';
import { setTimeout as sleep } from 'node:timers/promises';
import { AggregatorRegistry, type Registry } from 'prom-client';
import type { Config } from './config.ts';
import type { Logger } from './telemetry.ts';

/** Which of the processes this one is, from 0; 0 as well when it is the only one. */
export const processNumber = (): number => Number(process.env['MILLRACE_PROCESS_NUMBER'] ?? 0);

/** This process was started by `runCluster` and shares its port. */
export const isOneOfSeveral = (): boolean => cluster.isWorker;

/** Before a process that died is started again: one that can't start at all must not spin. */
const RESTART_AFTER_MS = 1_000;

interface MetricsQuestion {
  ask: 'metrics';
  number: number;
}
interface MetricsAnswer {
  answer: 'metrics';
  number: number;
  text: string;
}

/**
 * Starts `config.concurrency` processes of `program` and keeps them alive. Resolves with the exit code when all have
 * ended after SIGTERM or SIGINT, or when the first one could not start. Without this process they end by themselves.
 */
export async function runCluster(config: Config, logger: Logger, program: string): Promise<number> {
  // They accept connections themselves. One that this process hands over would belong to nobody when the other dies or
  // stands still at that moment, and its client would wait for ever.
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  cluster.setupPrimary({ exec: program, args: [] });
  let stopping: NodeJS.Signals | undefined;
  const metrics = new AggregatorRegistry();

  function start(number: number): Worker {
    const worker = cluster.fork({ MILLRACE_PROCESS_NUMBER: String(number) });
    worker.on('message', (message: MetricsQuestion) => {
      if (message.ask !== 'metrics') return;
      void metrics
        .clusterMetrics()
        .catch((error: unknown) => `# ${String(error)}\n`)
        .then((text) => {
          if (worker.isConnected())
            worker.send({ answer: 'metrics', number: message.number, text } satisfies MetricsAnswer);
        });
    });
    if (stopping) worker.process.kill(stopping);
    return worker;
  }

  /** The exit code. One that was told to stop before it could hear it, because it was just starting, had nothing to drain. */
  const ended = async (worker: Worker): Promise<number> => {
    const { code, signal } = await exitOf(worker);
    return signal && signal === stopping ? 0 : code;
  };

  /** Until it ends for good; with its exit code. */
  async function keep(number: number, first: Worker): Promise<number> {
    for (let worker = first; ; worker = start(number)) {
      const code = await ended(worker);
      if (stopping) return code;
      logger.error({ process: number, code }, 'a process died; starting another');
      await sleep(RESTART_AFTER_MS);
      if (stopping) return 0;
    }
  }

  const pass = (signal: NodeJS.Signals): void => {
    stopping = signal;
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill(signal);
  };
  process.on('SIGINT', pass).on('SIGTERM', pass);

  // Alone first: it migrates the database, and says what is wrong, once.
  const first = start(0);
  const failed = await Promise.race([ended(first), listening(first)]);
  if (failed !== undefined) return failed;
  const others = Array.from({ length: config.concurrency - 1 }, (_, i) => i + 1);
  const codes = await Promise.all([keep(0, first), ...others.map((number) => keep(number, start(number)))]);
  return Math.max(...codes);
}

/** The metrics of all processes together, asked for by one of them. */
export function clusterMetrics(registry: Registry): () => Promise<string> {
  AggregatorRegistry.setRegistries(registry);
  void new AggregatorRegistry(); // answers the first process's questions
  const waiting = new Map<number, (text: string) => void>();
  let count = 0;
  process.on('message', (message: MetricsAnswer) => {
    if (message.answer === 'metrics') waiting.get(message.number)?.(message.text);
  });
  return () =>
    new Promise((resolve) => {
      const number = ++count;
      waiting.set(number, (text) => {
        waiting.delete(number);
        resolve(text);
      });
      process.send?.({ ask: 'metrics', number } satisfies MetricsQuestion);
    });
}

interface Exit {
  /** 137 when a signal ended it. */
  code: number;
  signal: NodeJS.Signals | undefined;
}

const exitOf = (worker: Worker): Promise<Exit> =>
  new Promise((resolve) =>
    worker.once('exit', (code: number | null, signal: NodeJS.Signals | null) =>
      resolve({ code: signal ? 137 : (code ?? 0), signal: signal ?? undefined }),
    ),
  );

const listening = (worker: Worker): Promise<undefined> =>
  new Promise((resolve) => worker.once('listening', () => resolve(undefined)));
