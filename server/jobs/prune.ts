/** Finished jobs don't stay for ever. */
import { sql } from 'kysely';
import type { Db, Trx } from '../../db/dialect.ts';
import { transact } from '../../db/transaction.ts';

/** Rows of one statement: nobody waits long for it. */
const AT_ONCE = 1_000;
/** Media whose jobs still say what is left to be done. */
const AT_WORK = sql.lit('processing');
const PLAYABLE = sql.lit('playable');

/**
 * Deletes jobs that ended before `time`, but for those of media that are still being worked on: what has failed
 * there must not be added again, and what is encoded in parts counts those that have succeeded (as long as segments of it
 * are rows). Returns how many there were.
 */
export async function pruneJobs(db: Db, time: number): Promise<number> {
  for (let count = 0; ;) {
    const deleted = await transact(db, (trx) => pruneSome(trx, time), { durable: false });
    count += deleted;
    if (deleted < AT_ONCE) return count;
  }
}

async function pruneSome(trx: Trx, time: number): Promise<number> {
  const { numAffectedRows = 0n } = await sql`
    delete from job where id in (
      select id from job
       where finished_at is not null and finished_at < ${time}
         and not exists (select 1 from media where media.id = job.media_id
                            and media.status in (${AT_WORK}, ${PLAYABLE}) and media.deleted_at is null)
         and not exists (select 1 from output join segment on segment.output_id = output.id
                          where output.media_id = job.media_id)
       order by finished_at limit ${sql.lit(AT_ONCE)})`.execute(trx);
  return Number(numAffectedRows);
}
