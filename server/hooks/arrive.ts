import type { Trx } from '../../db/dialect.ts';
import type { UploadRow } from '../../db/schema.ts';
import type { Config } from '../config.ts';
import { addEarly } from '../pipeline/index.ts';
import { parseMetadata } from '../uploads/index.ts';
import { mediaOf } from './finish.ts';

/** What a file is can be told from its first bytes. */
const TELLING = 1024 * 1024;

/** An upload that is large enough, and has more to come, is worked on while it arrives. */
export const arrive =
  ({ encoding: { early }, uploads }: Pick<Config, 'encoding' | 'uploads'>) =>
  async (trx: Trx, upload: UploadRow, before: number): Promise<void> => {
    const { length, offset } = upload;
    const large = length === null ? offset : length;
    // Of an upload whose length nobody knows, what came must be enough.
    const from = length === null ? early.minSize : TELLING;
    if (!early.on || large < early.minSize || before >= from || offset < from || offset === length) return;
    const media = await mediaOf(trx, upload);
    if (media?.status !== 'uploading' || media.encoder === 'stream') return;
    const wishes = parseMetadata(upload.metadata ?? undefined, uploads.metadataMax);
    await addEarly(trx, media, { watch: wishes.get('watchWhileUploading') === 'true' });
  };
