/** A long source on several workers, each of one thread, on one PostgreSQL and one bucket. */
import { startServer } from '../../test/server.ts';
import { s3AndPostgres } from '../../test/system/flow.ts';
import { take } from './intake.ts';
import { watchJobs } from './timeline.ts';

/**
 * Encodes `source` on so many workers; `tell` gets what each job did. Resolves with the seconds from the last byte until everything
 * was there.
 */
export async function runOn(
  workers: number,
  source: string,
  tell: (lines: string[]) => void,
): Promise<number> {
  const { env, close } = await s3AndPostgres();
  const timeline = await watchJobs();
  const quiet = {
    ...{ ...env, ...timeline.env, LOG_LEVEL: 'warn', WORKER_CONCURRENCY: '1', FFMPEG_THREADS: '1' },
    EARLY: 'false', // what is done along an upload is done by one worker
  };
  const roles = ['server', ...Array.from({ length: workers }, () => 'worker')];
  const processes = [];
  try {
    for (const ROLE of roles) processes.push(await startServer({ ...quiet, ROLE }));
    const { mediaId, ready = NaN } = await take(processes[0]!, source, 'ready');
    tell(await timeline.of(processes[0]!, mediaId));
    return ready;
  } finally {
    await Promise.all(processes.map((process) => process.dispose()));
    await timeline.dispose();
    await close?.();
  }
}
