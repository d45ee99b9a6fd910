import type { Trx } from '../../db/dialect.ts';
import type { UploadRow } from '../../db/schema.ts';
import { cancelMedia } from '../media/lifecycle.ts';
import { mediaOf } from './finish.ts';

/** The sweep found an upload nobody went on with: its media is cancelled. */
export async function expire(trx: Trx, upload: UploadRow): Promise<void> {
  const media = await mediaOf(trx, upload);
  if (media) await cancelMedia(trx, media);
}
