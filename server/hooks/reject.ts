import type { Trx } from '../../db/dialect.ts';
import type { UploadRow } from '../../db/schema.ts';
import { cancelMediaJobs } from '../jobs/queue.ts';
import { addDiscard } from '../media/lifecycle.ts';
import { transition, type MediaError } from '../media/media.ts';
import { mediaOf } from './finish.ts';

/** The uploaded bytes are not the promised ones: the media failed, and there is no source to try again with. */
export async function reject(trx: Trx, upload: UploadRow, error: MediaError): Promise<void> {
  const media = await mediaOf(trx, upload);
  if (!media) return;
  const guard = { from: ['uploading'], attempt: media.attempt } as const;
  if (!(await transition(trx, media.id, 'failed', guard, { error }))) return;
  await cancelMediaJobs(trx, media.id);
  await addDiscard(trx, media); // of a final its partials, of a partial the others, and what early jobs made
}
