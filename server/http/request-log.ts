/** Each request gets an id and one line in the log. */
import type { RequestHandler, Response } from 'express';
import { newId } from '../ids.ts';
import type { Logger } from '../telemetry.ts';

/** Requests that say little and come often: logged at `debug`. */
const QUIET = /^\/(livez|readyz|metrics|assets\/.*|media\/.*\.(m4s|mp4|ts|m4a|aac|vtt))$/;

/** The id of the request this response belongs to. Also in `X-Request-Id` and in every problem document. */
export const requestIdOf = (res: Response): string => String(res.locals.requestId ?? '');

/** A proxy's X-Request-Id is kept, so that its log and ours can be read together. */
export function requestLog(logger: Logger): RequestHandler {
  return (req, res, next) => {
    const given = req.get('x-request-id');
    const requestId = given && /^[\w-]{8,64}$/.test(given) ? given : newId();
    res.locals.requestId = requestId;
    res.set('X-Request-Id', requestId);
    const { method } = req;
    const quiet = QUIET.test(req.path); // routers change it on the way
    const path = withoutSecrets(req.originalUrl);
    const started = performance.now();
    res.on('close', () => {
      const ms = Math.round(performance.now() - started);
      const cut = res.writableFinished ? {} : { cut: true };
      const level = res.statusCode >= 500 ? 'warn' : quiet ? 'debug' : 'info';
      logger[level]({ requestId, method, path, status: res.statusCode, ms, ...cut }, 'request');
    });
    next();
  };
}

/** The address without keys, playback tokens and source tokens. */
export const withoutSecrets = (url: string): string =>
  url.replace(/([?&](?:key|token)=)[^&#]*/gi, '$1…').replace(/^(\/source\/)[^?#]+/i, '$1…');
