/**
 * A worker in a process of its own: `worker.ts FILE [URL]`. Its only task leaves one row per job,
 * with the process's id. Ends gracefully at SIGTERM.
 */
import { pino } from 'pino';
import { openDatabase } from '../../db/dialect.ts';
import { startWorker } from '../../server/jobs/worker.ts';

const [file, url] = process.argv.slice(2);
const db = openDatabase({ file: file!, url });
const worker = startWorker({
  db,
  tasks: {
    quick: ({ job }) =>
      Promise.resolve(async (trx) => {
        await trx
          .insertInto('setting')
          .values({ name: job.key, value: String(process.pid) })
          .execute();
      }),
  },
  concurrency: 4,
  leaseMs: 1_000,
  logger: pino({ level: 'error' }, pino.destination(2)),
  onFailed: () => Promise.resolve(),
});
process.once('SIGTERM', () => {
  void worker.stop(5_000).then(() => db.destroy());
});
process.stdout.write('ready\n');
