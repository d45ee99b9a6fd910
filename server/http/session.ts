/** Logging a browser in and out, and who is logged in. */
import { Router, type CookieOptions, type Request, type Response } from 'express';
import { z } from 'zod';
import { principalOfKey } from '../auth/keys.ts';
import type { Principal } from '../auth/principal.ts';
import { SESSION_COOKIE, sessionValue } from '../auth/session.ts';
import type { Context } from '../context.ts';
import { AppError } from '../errors.ts';
import type { Access } from './access.ts';
import { readBody } from './input.ts';
import { resource } from './routes.ts';
import { rootOf } from './urls.ts';

const login = z.strictObject({ key: z.string().min(1).max(500) });

/** `POST /session` logs in with a key, `DELETE /session` logs out, `GET /me` tells who asks. */
export function sessionRoutes(ctx: Context, access: Access): Router {
  const router = Router();

  resource(router, '/session', {
    async post(req, res) {
      const principal = await startSession(ctx, req, res, readBody(req, login).key);
      if (!principal) throw new AppError(401, 'invalid_key', 'This API key does not exist or was revoked.');
      res.json(me(ctx, principal));
    },
    delete(req, res) {
      res.clearCookie(SESSION_COOKIE, cookieOptions(ctx, req)).status(204).end();
    },
  });

  resource(router, '/me', {
    async get(req, res) {
      res.json(me(ctx, await access(req)));
    },
  });

  return router;
}

/** Sets the session cookie when the key is good; undefined when it is not. */
export async function startSession(
  ctx: Context,
  req: Request,
  res: Response,
  key: string,
): Promise<Principal | undefined> {
  const principal = await principalOfKey(ctx.db, key);
  if (principal?.keyId === undefined) return undefined;
  const { sessionTtlMs } = ctx.config.auth;
  const value = sessionValue(ctx.secret, principal.keyId, Date.now() + sessionTtlMs);
  res.cookie(SESSION_COOKIE, value, { ...cookieOptions(ctx, req), maxAge: sessionTtlMs });
  res.set('Cache-Control', 'no-store');
  return principal;
}

/** Lax, not Strict: a link to a page that somebody sent by mail must find the reader logged in. See same-origin.ts. */
function cookieOptions({ config }: Context, req: Request): CookieOptions {
  const url = config.publicUrl === undefined ? undefined : new URL(config.publicUrl);
  const secure = req.secure || (url?.protocol === 'https:' && url.host === req.host);
  return { httpOnly: true, sameSite: 'lax', path: `${rootOf(config)}/`, secure };
}

const me = ({ config }: Context, { owner, scopes, keyId }: Principal) => ({
  owner,
  scopes: [...scopes],
  keyId: keyId ?? null,
  limits: { maxUploadSize: config.uploads.maxSize, metadataMax: config.uploads.metadataMax },
});
