import type { Db, Trx } from '../../db/dialect.ts';
import type { MediaRow, UploadRow } from '../../db/schema.ts';
import type { Config } from '../config.ts';
import { addEarly, findEarly } from '../pipeline/index.ts';
import { parseMetadata } from '../uploads/index.ts';
import { mediaOf } from './finish.ts';

type Settings = Pick<Config, 'encoding' | 'uploads' | 'storage'>;

const MIB = 1024 * 1024;
/** What a file is can be told from its first bytes. */
const TELLING = MIB;
/** An upload of which so much came, or so many milliseconds passed, before anybody had time for it is not stored twice any more. */
const UNATTENDED = { bytes: 128 * MIB, ms: 5_000 };

/** Where the work on an upload begins; undefined for uploads that are not worked on before they are whole. */
function beginning({ encoding: { early }, storage }: Settings, upload: UploadRow): number | undefined {
  const { kind, length, mediaId } = upload;
  if (!early.on || kind !== 'single' || mediaId === null) return undefined;
  if (length !== null) return length >= early.minSize ? TELLING : undefined;
  // Of an upload whose length nobody knows, what came must be enough. On S3 it would have to be stored twice till then.
  return storage.driver === 'disk' ? early.minSize : undefined;
}

/** An upload that is large enough, and has more to come, is worked on while it arrives. */
export const arrive =
  (config: Settings) =>
  async (trx: Trx, upload: UploadRow, before: number): Promise<void> => {
    const from = beginning(config, upload);
    if (from === undefined || before >= from || upload.offset < from || upload.offset === upload.length)
      return;
    const media = await mediaOf(trx, upload);
    if (!isWanted(media)) return;
    const wishes = parseMetadata(upload.metadata ?? undefined, config.uploads.metadataMax);
    await addEarly(trx, media, { watch: wishes.get('watchWhileUploading') === 'true' });
  };

const isWanted = (media: MediaRow | undefined): media is MediaRow =>
  media?.status === 'uploading' && media.encoder !== 'stream';

/** False for uploads that only the ordinary way is for. */
export const mayFollow =
  (config: Settings) =>
  (upload: UploadRow): boolean =>
    beginning(config, upload) !== undefined;

/** True until the work on the upload has ended: what it reads must be readable. */
export const isFollowed =
  (config: Settings) =>
  async (db: Db, upload: UploadRow): Promise<boolean> => {
    const from = beginning(config, upload);
    if (from === undefined || upload.mediaId === null) return false;
    const job = await findEarly(db, upload.mediaId);
    if (!job) return upload.offset < from && isWanted(await mediaOf(db, upload));
    return (
      job.status === 'running' ||
      (job.status === 'queued' && (job.attempts > 0 || !isUnattended(job, upload)))
    );
  };

const isUnattended = ({ createdAt }: { createdAt: number }, { offset }: UploadRow): boolean =>
  offset >= UNATTENDED.bytes || Date.now() - createdAt >= UNATTENDED.ms;
