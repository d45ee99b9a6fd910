/** A long source on one worker and on two, each of one thread, on one PostgreSQL and one bucket. */
import { startServer } from '../../test/server.ts';
import { s3AndPostgres } from '../../test/system/flow.ts';
import { take } from './intake.ts';

export interface Run {
  workers: number;
  /** Seconds from the last byte until everything was there. */
  wall: number;
}

/** Encodes `source` once on one worker and once on two. */
export async function scaleOut(source: string): Promise<Run[]> {
  const runs: Run[] = [];
  for (const workers of [1, 2]) runs.push({ workers, wall: await runOn(workers, source) });
  return runs;
}

async function runOn(workers: number, source: string): Promise<number> {
  const { env, close } = await s3AndPostgres();
  const quiet = { ...env, LOG_LEVEL: 'warn', WORKER_CONCURRENCY: '1', FFMPEG_THREADS: '1' };
  const roles = ['server', ...Array.from({ length: workers }, () => 'worker')];
  const processes = [];
  try {
    for (const ROLE of roles) processes.push(await startServer({ ...quiet, ROLE }));
    const { ready = NaN } = await take(processes[0]!, source, 'ready');
    return ready;
  } finally {
    await Promise.all(processes.map((process) => process.dispose()));
    await close?.();
  }
}
