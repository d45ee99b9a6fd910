/** Who may watch what. */
import type { Request } from 'express';
import type { MediaRow } from '../../db/schema.ts';
import { hasCredentials } from '../auth/index.ts';
import { owns } from '../auth/principal.ts';
import { checkPlaybackToken } from '../auth/signed-urls.ts';
import type { Context } from '../context.ts';
import { AppError, notFound } from '../errors.ts';
import type { Access } from './access.ts';
import { mediaById } from './media-queries.ts';
import { idOf } from './routes.ts';

export interface Viewing {
  media: MediaRow;
  /** The valid token that came with the request of a private media. */
  token?: string;
}

/**
 * The media of the address, for those who may watch it: public and unlisted ones anyone, private ones their
 * owner, admins, and whoever has a token. Otherwise AppError: 401 without credentials, whether or not there is
 * such a media; 404 for somebody else; 403 `token_expired`.
 */
export async function viewing(ctx: Context, access: Access, req: Request): Promise<Viewing> {
  const id = idOf(req, 'No media');
  const media = await mediaById(ctx.db, id);
  if (media && media.visibility !== 'private') return { media };
  const { token } = req.query;
  const verdict = typeof token === 'string' ? checkPlaybackToken(ctx.secret, token, id) : 'forged';
  if (media && typeof token === 'string' && verdict === 'valid') return { media, token };
  if (!hasCredentials(req.headers)) throw verdict === 'expired' ? expired() : anonymous();
  const principal = await access(req, 'read');
  if (!media || !owns(principal, media.owner)) throw notFound('No media');
  return { media };
}

const expired = (): AppError =>
  new AppError(403, 'token_expired', 'This playback link has expired: get a new one from the API.');

const anonymous = (): AppError =>
  new AppError(401, 'unauthorized', 'Nobody without a key, a session or a playback link can watch this.', {
    headers: { 'WWW-Authenticate': 'Bearer realm="millrace"' },
  });
