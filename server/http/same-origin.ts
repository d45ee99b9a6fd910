/** Against cross-site request forgery: a browser must not use its session on behalf of another site. */
import type { Request, RequestHandler } from 'express';
import { sessionCookie } from '../auth/session.ts';
import { AppError } from '../errors.ts';

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Refuses requests that change something when a cookie speaks for them and another origin sent them. Every
 * browser tells: by Sec-Fetch-Site, or (old ones, and over plain HTTP) by Origin. What sends neither is no browser.
 */
export function sameOrigin(publicUrl: string | undefined): RequestHandler {
  const own = publicUrl === undefined ? undefined : new URL(publicUrl).host;
  return (req, _res, next) => {
    const byCookie =
      req.headers.authorization === undefined && sessionCookie(req.headers.cookie) !== undefined;
    const changes = !SAFE.has(req.method) || req.get('x-http-method-override') !== undefined;
    if (!byCookie || !changes || isOwn(req, own)) return next();
    next(new AppError(403, 'cross_origin', 'A session can only be used from Millrace’s own pages.'));
  };
}

function isOwn(req: Request, own: string | undefined): boolean {
  const site = req.get('sec-fetch-site');
  if (site !== undefined) return site === 'same-origin' || site === 'none';
  const origin = req.get('origin');
  if (origin === undefined) return true;
  const host = URL.canParse(origin) ? new URL(origin).host : '';
  return host !== '' && (host === req.host?.toLowerCase() || host === own);
}
