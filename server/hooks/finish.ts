import type { Db, Trx } from '../../db/dialect.ts';
import type { MediaRow, UploadRow } from '../../db/schema.ts';
import { transition } from '../media/media.ts';

/** Adds the jobs that come next for a media (server/pipeline). */
export type Advance = (trx: Trx, media: MediaRow) => Promise<void>;

/**
 * The upload is whole: uploading -> processing, with its first jobs, in the transaction that completes the upload.
 * False when the media was cancelled, failed or deleted meanwhile.
 */
export const finish =
  (advance: Advance) =>
  async (trx: Trx, upload: UploadRow): Promise<boolean> => {
    const media = await mediaOf(trx, upload);
    if (!media || media.deletedAt !== null) return false;
    const row = await transition(
      trx,
      media.id,
      'processing',
      { from: ['uploading'], attempt: media.attempt },
      { sourceKey: upload.key },
    );
    if (!row) return false;
    await advance(trx, row);
    return true;
  };

/** The media an upload belongs to. */
export async function mediaOf(trx: Db | Trx, upload: UploadRow): Promise<MediaRow | undefined> {
  if (!upload.mediaId) return undefined;
  return trx.selectFrom('media').selectAll().where('id', '=', upload.mediaId).executeTakeFirst();
}
