import type { Trx } from '../../db/dialect.ts';
import type { UploadRow } from '../../db/schema.ts';
import { cancelMedia, deleteMedia } from '../media/lifecycle.ts';
import { mediaOf } from './finish.ts';

/** A client terminated its upload: an unfinished one's media is cancelled, a finished one's deleted. */
export async function terminate(trx: Trx, upload: UploadRow, complete: boolean): Promise<void> {
  const media = await mediaOf(trx, upload);
  if (media) await (complete ? deleteMedia(trx, media) : cancelMedia(trx, media));
}
