/** Slows down guessing: an address that sent too many wrong keys is not listened to for the rest of the minute. */
import { createHash } from 'node:crypto';
import type { Request, RequestHandler, Response } from 'express';
import { MemoryStore, ipKeyGenerator, type Options } from 'express-rate-limit';
import { AppError } from '../errors.ts';

const WINDOW_MS = 60_000;
const LOGIN = '/api/session';

/**
 * Counts the different wrong keys and tokens that an address tried (IPv6: a /56). A client that repeats its old
 * key does not guess, and honest traffic is free, however much of it there is; so are sessions, which can't be
 * guessed.
 */
export function failureLimit(limit = 20): RequestHandler {
  const [tried, failures] = [new MemoryStore(), new MemoryStore()];
  for (const store of [tried, failures]) store.init({ windowMs: WINDOW_MS } as Options);

  async function note(address: string, guess: string): Promise<void> {
    const hash = createHash('sha256').update(guess).digest('base64url');
    const { totalHits } = await tried.increment(`${address} ${hash}`);
    if (totalHits === 1) await failures.increment(address);
  }

  return async (req, res, next) => {
    if (guessOf(req) === undefined && req.path !== LOGIN) return next();
    const address = ipKeyGenerator(req.ip ?? '');
    const known = await failures.get(address);
    const wait = Math.ceil(((known?.resetTime?.getTime() ?? 0) - Date.now()) / 1000);
    if (known && known.totalHits >= limit && wait > 0) throw tooMany(wait);
    res.on('finish', () => {
      const failed = res.statusCode === 401 || res.locals.loginFailed === true;
      if (failed) void note(address, guessOf(req) ?? '');
    });
    next();
  };
}

/** Counts this request as a failure although its status is not 401 (the login link answers a redirect). */
export const noteLoginFailure = (res: Response): void => {
  res.locals.loginFailed = true;
};

/** The key or token that a request carries; that of a login is known once its body was read. */
function guessOf(req: Request): string | undefined {
  if (req.headers.authorization !== undefined) return req.headers.authorization;
  const { key } = req.path === LOGIN ? ((req.body ?? {}) as { key?: unknown }) : req.query;
  return typeof key === 'string' ? key : undefined;
}

const tooMany = (seconds: number): AppError =>
  new AppError(429, 'too_many_failures', `Too many wrong keys from this address. Wait ${seconds} seconds.`, {
    headers: { 'Retry-After': String(seconds) },
  });
