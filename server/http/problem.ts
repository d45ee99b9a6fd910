/** The one place where errors become answers. */
import type { ErrorRequestHandler, RequestHandler } from 'express';
import { AppError, isOutage, notFound, toProblem } from '../errors.ts';
import type { Logger } from '../telemetry.ts';
import { requestIdOf } from './request-log.ts';

/** What the body parser calls its errors -> what we answer. */
const BODY_ERRORS: Record<string, [status: number, code: string, detail: string]> = {
  'entity.parse.failed': [400, 'invalid_json', 'The body is not valid JSON.'],
  'entity.too.large': [413, 'body_too_large', 'The body is larger than 100 kB.'],
  'encoding.unsupported': [
    415,
    'unsupported_encoding',
    'Send the body as it is, or with gzip, deflate or br.',
  ],
  'charset.unsupported': [415, 'unsupported_charset', 'Send the body in UTF-8.'],
  'request.aborted': [400, 'request_aborted', 'The body ended before it was whole.'],
  'request.size.invalid': [400, 'invalid_length', 'The body is not as long as Content-Length says.'],
};

/** 404 for every address that nothing else answered. */
export const nothingHere: RequestHandler = (_req, _res, next) => next(notFound());

/**
 * Answers RFC 9457 problem+json. Errors of ours are logged with the request's id; clients learn only `internal`, or that
 * a service we need is away and when to come again.
 */
export function problems(logger: Logger): ErrorRequestHandler {
  return (thrown: unknown, req, res, _next) => {
    const error = recognise(thrown);
    const problem = toProblem(error);
    if (problem.status >= 500)
      logger.error({ err: thrown, requestId: requestIdOf(res), method: req.method }, problem.detail);
    if (res.headersSent) {
      res.destroy(); // the client must not take half an answer for a whole one
      return;
    }
    for (const name of ['ETag', 'Last-Modified', 'Content-Disposition', 'Content-Encoding'])
      res.removeHeader(name);
    if (error instanceof AppError) res.set(error.headers);
    res.status(problem.status).set('Cache-Control', 'no-store').type('application/problem+json');
    res.send(JSON.stringify({ ...problem, requestId: requestIdOf(res) }));
  };
}

function recognise(thrown: unknown): unknown {
  if (thrown instanceof AppError) return thrown;
  const { type, status } = thrown as { type?: unknown; status?: unknown };
  const known = typeof type === 'string' ? BODY_ERRORS[type] : undefined;
  if (known) return new AppError(...known, { cause: thrown });
  if (thrown instanceof URIError || status === 400)
    return new AppError(400, 'malformed_url', 'The address has a malformed %-sequence.', { cause: thrown });
  if (isOutage(thrown))
    return new AppError(
      503,
      'unavailable',
      'The database or the storage of this server is away. Try again in a moment.',
      {
        cause: thrown,
        headers: { 'Retry-After': '5' },
      },
    );
  return thrown;
}
