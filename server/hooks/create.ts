import type { Trx } from '../../db/dialect.ts';
import type { Config } from '../config.ts';
import { AppError } from '../errors.ts';
import { createMedia } from '../media/media.ts';
import type { MediaOfUpload } from '../uploads/index.ts';

/** A media begins: `uploading`, named by what the client says about its file. AppError 400 `encoder_not_allowed`. */
export const create =
  (config: Config) =>
  async (trx: Trx, { mediaId, owner, file }: MediaOfUpload): Promise<void> => {
    const { visibility = config.auth.defaultVisibility, encoder: wanted, ...description } = file;
    const encoder = chooseEncoder(config.encoder, wanted);
    await createMedia(trx, { id: mediaId, owner, ...description, visibility, encoder, status: 'uploading' });
  };

/** Where nothing may be chosen the wish is not heard: `encoder` may mean something else to that client. */
function chooseEncoder({ fallback, choice }: Config['encoder'], wanted: string | undefined): string {
  if (wanted === undefined || !choice.length) return fallback;
  const allowed = choice.find((name) => name === wanted);
  if (allowed) return allowed;
  throw new AppError(400, 'encoder_not_allowed', `The encoder must be one of ${choice.join(', ')}.`);
}
