/** `/source/{token}`: where a provider fetches the uploaded file from, as long as it works on it. */
import { Router } from 'express';
import type { EncodeAttemptRow, MediaRow } from '../../db/schema.ts';
import { checkSourceToken } from '../auth/source-tokens.ts';
import type { Context } from '../context.ts';
import { AppError, notFound } from '../errors.ts';
import { attemptById, OPEN_STATES, wantedMedia, type RemoteEncoding } from '../providers/index.ts';
import { resource } from './routes.ts';
import { sendObject } from './send-object.ts';

/** HEAD and GET with ranges, streamed from wherever the file is; never a redirect, as Stream follows none. */
export function sourceRoutes(ctx: Context, { sourceKeys }: Pick<RemoteEncoding, 'sourceKeys'>): Router {
  const logger = ctx.logger.child({ name: 'source' });
  const router = Router();
  resource(router, '/:token', {
    async get(req, res) {
      const checked = checkSourceToken(sourceKeys, String(req.params.token));
      const attempt = checked.verdict === 'forged' ? undefined : await attemptById(ctx.db, checked.attemptId);
      const media = attempt && (await wantedMedia(ctx.db, attempt));
      const refused = refusal(checked.verdict, attempt, media);
      if (refused) {
        logger.warn({ reason: refused.code, attempt: attempt?.id, method: req.method }, 'source refused');
        throw refused;
      }
      await sendObject(req, res, ctx.storage, media?.sourceKey ?? '', {
        'Content-Type': 'application/octet-stream',
        // A proxy that compresses would take the length and the ranges away.
        'Cache-Control': 'private, no-store, no-transform',
      });
    },
  });
  return router;
}

function refusal(
  verdict: 'valid' | 'expired' | 'forged',
  attempt: EncodeAttemptRow | undefined,
  media: MediaRow | undefined,
): AppError | undefined {
  if (verdict === 'forged')
    return new AppError(403, 'source_token_invalid', 'This address was not signed here.');
  if (!attempt) return notFound('No file');
  if (verdict === 'expired') return new AppError(403, 'source_token_expired', 'This address has expired.');
  if (!OPEN_STATES.includes(attempt.state))
    return new AppError(403, 'source_token_revoked', 'This address is not needed any more and was revoked.');
  return media?.sourceKey ? undefined : notFound('No file');
}
