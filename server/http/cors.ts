/** Cross-origin use (the Fetch standard's CORS protocol). Never with cookies: other sites use keys, JWTs or tokens. */
import type { RequestHandler, Response } from 'express';

const EXPOSED =
  'Accept-Ranges, Content-Digest, Content-Length, Content-Range, ETag, Repr-Digest, Retry-After, X-Request-Id';
const ACCEPTED =
  'Authorization, Content-Type, Last-Event-ID, Range, If-None-Match, If-Range, Want-Content-Digest, X-Request-Id';

/** Lets the configured origins (`*`: all) read answers, and answers their preflights. */
export function cors(origins: string[], methods: string): RequestHandler {
  return (req, res, next) => {
    allowOrigin(res, origins, req.get('origin'));
    res.set('Access-Control-Expose-Headers', EXPOSED);
    if (req.method !== 'OPTIONS' || !req.get('access-control-request-method')) return next();
    res.set({
      'Access-Control-Allow-Methods': methods,
      'Access-Control-Allow-Headers': ACCEPTED,
      'Access-Control-Max-Age': '86400',
    });
    res.status(204).end();
  };
}

function allowOrigin(res: Response, origins: string[], origin: string | undefined): void {
  if (origins.includes('*')) {
    res.set('Access-Control-Allow-Origin', '*');
    return;
  }
  res.vary('Origin');
  if (origin !== undefined && origins.includes(origin)) res.set('Access-Control-Allow-Origin', origin);
}
