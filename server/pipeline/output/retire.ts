/** Renditions that others have taken the place of go when nobody can be playing them any more. */
import type { Trx } from '../../../db/dialect.ts';
import type { MediaRow } from '../../../db/schema.ts';
import { add } from '../../jobs/queue.ts';

/** A film, and a night's sleep. */
const RETIRE_AFTER_MS = 24 * 3600_000;

/** Asks for the `retire` task of server/tasks.ts, later. */
export async function addRetire(trx: Trx, media: MediaRow): Promise<void> {
  await add(trx, {
    key: `${media.id}:retire:${media.attempt}`,
    task: 'retire',
    mediaId: media.id,
    owner: media.owner,
    maxAttempts: 20,
    runAt: Date.now() + RETIRE_AFTER_MS,
  });
}
