/** Who may touch an upload: its owner. To all others it is as unknown as one that never was. */
import type { Db } from '../../db/dialect.ts';
import { owns } from '../auth/principal.ts';
import { AppError, notFound } from '../errors.ts';
import { wasJoined } from './concatenation.ts';
import { methodOf, type Exchange } from './exchange.ts';
import type { UploadHooks } from './hooks.ts';
import { assertStanding, findUpload, type UploadStanding } from './ledger/ledger.ts';

/** Finds the upload a request is about and notes it in the exchange. Throws 401, 403, 404 and 410. */
export type Authorize = (exchange: Exchange, id: string) => Promise<UploadStanding>;

export function createAccess(db: Db, hooks: UploadHooks): Authorize {
  return async (exchange, id) => {
    const principal = (exchange.principal = await hooks.authorize(exchange.request.headers));
    const standing = await findUpload(db, id);
    if (!standing || !owns(principal, standing.upload.owner)) throw notFound('No upload');
    // Of parallel uploads a client that missed the end asks for each part, and would send those again that are gone.
    if (await wasJoined(db, standing.upload)) standing.upload = { ...standing.upload, state: 'complete' };
    assertStanding(standing);
    // "The Server MUST respond with the 403 Forbidden status to PATCH requests against a final upload URL"
    if (standing.upload.kind === 'final' && methodOf(exchange) === 'PATCH')
      throw new AppError(
        403,
        'final_upload',
        'A final upload takes no bytes: it is made of its partial ones.',
      );
    exchange.standing = standing;
    return standing;
  };
}
