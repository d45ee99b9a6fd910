/** Media that are whole go on without an `early` job that nobody runs. */
import { transact } from '../../../db/transaction.ts';
import type { Context } from '../../context.ts';
import { lockMedia } from '../../media/media.ts';
import { advance } from '../advance.ts';
import { EARLY } from './job.ts';

/**
 * For every now and then. A job that was handed back when its upload had become whole (its worker stopped, or was killed) would wait
 * for its turn behind those that follow other uploads for hours, and its media with it. Of those only, the ordinary way is taken.
 */
export async function sweepEarly({ db, config }: Pick<Context, 'db' | 'config'>): Promise<void> {
  const left = await db
    .selectFrom('job')
    .innerJoin('media', 'media.id', 'job.mediaId')
    .select('media.id')
    .where('job.task', '=', EARLY)
    .where('job.status', '=', 'queued')
    .where('media.status', 'in', ['processing', 'playable'])
    .execute();
  for (const { id } of left)
    await transact(db, async (trx) => {
      const media = await lockMedia(trx, id);
      if (media) await advance(trx, media, config.encoding);
    });
}
