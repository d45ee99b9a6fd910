/** Kinds of values that environment variables have. */
import bytes from 'bytes';
import ms from 'ms';
import { availableParallelism } from 'node:os';
import { z } from 'zod';

export const text = z.string().trim().min(1);
export const optional = text.optional();
/** Express's `trust proxy`: false, true, a number of hops, or addresses. */
export const trustedProxies = text.default('false').transform((value): boolean | number | string => {
  if (value === 'true' || value === 'false') return value === 'true';
  return /^\d+$/.test(value) ? Number(value) : value;
});
export const switchable = z
  .enum(['true', 'false', '1', '0', 'on', 'off', 'yes', 'no'])
  .transform((v) => ['true', '1', 'on', 'yes'].includes(v));
export const flag = (fallback: boolean) => switchable.default(fallback);
export const integer = (fallback: number, min: number, max: number) =>
  z.coerce.number().int().min(min).max(max).default(fallback);
/** `auto`: one for each core. */
export const processes = z.union(
  [z.literal('auto').transform(() => availableParallelism()), z.coerce.number().int().min(1).max(64)],
  { error: 'must be auto or a number from 1 to 64' },
);
/** A duration such as `30s`, `24h` or `7 days`; a plain number is seconds. Becomes milliseconds. */
export const duration = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .transform((value, ctx) => {
      const parsed = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : ms(value as ms.StringValue);
      if (typeof parsed === 'number' && parsed >= 0 && Number.isFinite(parsed)) return parsed;
      ctx.addIssue({ code: 'custom', message: 'is not a duration such as 30s, 15m or 24h' });
      return z.NEVER;
    });
/** How long after `ready` a source is kept, in milliseconds; Infinity: for ever. */
export const retention = z.string().transform((value, ctx) => {
  if (value === 'always') return Infinity;
  if (value === 'until-ready') return 0;
  const parsed = ms(value as ms.StringValue) as number | undefined;
  if (parsed !== undefined && parsed >= 0) return parsed;
  ctx.addIssue({
    code: 'custom',
    message: 'is not always, until-ready or a duration after that such as 30d',
  });
  return z.NEVER;
});
/** A size such as `512MB` or `64 GB` (powers of 1024); a plain number is bytes. */
export const size = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .transform((value, ctx) => {
      const parsed = bytes.parse(value.trim());
      if (parsed !== null && parsed >= 0) return parsed;
      ctx.addIssue({ code: 'custom', message: 'is not a size such as 500MB or 64GB' });
      return z.NEVER;
    });
export const list = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .transform((v) =>
      v
        .split(',')
        .map((s) => s.trim())
        .filter(Boolean),
    );
/** Some of these words, comma-separated. */
export const words = <const T extends readonly [string, ...string[]]>(allowed: T) =>
  list('').pipe(z.array(z.enum(allowed)));
