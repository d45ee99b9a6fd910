/** Input is checked once, here; handlers get what the schema promises. */
import type { Request, RequestHandler } from 'express';
import { z } from 'zod';
import { AppError } from '../errors.ts';
import { isId } from '../ids.ts';

export const id = z.string().refine(isId, 'is not an id');

/** One line of text: trimmed, not empty, at most `max` characters, no control characters. */
export const line = (max: number) =>
  z
    .string()
    .trim()
    .min(1)
    .max(max)
    .regex(/^\P{Cc}*$/u, 'must have no control characters');

/** Comma-separated words of a set, as in `?status=failed,cancelled`. */
export const wordsOf = <T extends string>(words: readonly T[]) =>
  z
    .string()
    .transform((value) => value.split(','))
    .pipe(z.array(z.enum(words)));

/** `?limit=` and `?cursor=` of every list; the cursor is the `nextCursor` of the page before. */
export const page = { limit: z.coerce.number().int().min(1).max(100).default(50), cursor: id.optional() };

/** The query string by its schema; AppError 400 `invalid_input`. */
export const readQuery = <T extends z.ZodType>(req: Request, schema: T): z.infer<T> =>
  read(req.query, schema, 'query');

/** The JSON body by its schema; AppError 400 `invalid_input`. */
export const readBody = <T extends z.ZodType>(req: Request, schema: T): z.infer<T> =>
  read(req.body ?? {}, schema, 'body');

function read<T extends z.ZodType>(value: unknown, schema: T, where: string): z.infer<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }));
  const said = errors.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join('; ');
  throw new AppError(400, 'invalid_input', `The ${where} is not as expected. ${said}.`, {
    extra: { errors },
  });
}

/** One page of rows that were asked for with one more than `limit`. */
export function toPage<T extends { id: string }>(
  rows: T[],
  limit: number,
): { rows: T[]; nextCursor?: string } {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return { rows: shown, ...(rows.length > limit && last ? { nextCursor: last.id } : {}) };
}

/** A body that is not JSON would be ignored in silence: say so. */
export const jsonOnly: RequestHandler = (req, _res, next) => {
  const empty = req.headers['content-length'] === '0' || req.is('application/json') === null;
  if (empty || req.is('application/json')) return next();
  next(new AppError(415, 'unsupported_media_type', 'Send the body as application/json.'));
};
