/** Kinds of values that environment variables have. */
import bytes from 'bytes';
import ms from 'ms';
import { isIP } from 'node:net';
import { z } from 'zod';
import { processors } from './machine/processors.ts';

export const text = z.string().trim().min(1);
export const optional = text.optional();
/** Where something is reached. `localhost:9000` alone would be taken for an address of the scheme `localhost`. */
export const address = z.url({
  protocol: /^https?$/,
  error: 'must be an address with http:// or https://, such as https://media.example.org',
});
/** Express's `trust proxy`: false, true, a number of hops, or addresses. */
export const trustedProxies = text.default('false').transform((value, ctx): boolean | number | string => {
  if (value === 'true' || value === 'false') return value === 'true';
  if (/^\d+$/.test(value)) return Number(value);
  if (value.split(',').every((part) => isNetwork(part.trim()))) return value;
  ctx.addIssue({
    code: 'custom',
    message: 'must be false, the number of proxies in front, or addresses such as 10.0.0.0/8,loopback',
  });
  return z.NEVER;
});
/** The words are those of Express: https://expressjs.com/en/guide/behind-proxies.html */
const isNetwork = (text: string): boolean =>
  ['loopback', 'linklocal', 'uniquelocal'].includes(text) || isIP(text.replace(/\/[\d.]+$/, '')) > 0;
/** Origins as browsers send them: scheme, host and port (RFC 6454, section 6.1); or `*`. */
export const origins = (fallback: string) =>
  list(fallback).refine((all) => all.every((each) => each === '*' || isOrigin(each)), {
    error: 'must be * or origins such as https://app.example.org, without a path or a slash at the end',
  });
/** Also of apps: `capacitor://localhost`. */
const isOrigin = (text: string): boolean => /^[a-z][a-z\d+.-]*:\/\/[^\s/?#@]+$/.test(text);
export const switchable = z
  .enum(['true', 'false', '1', '0', 'on', 'off', 'yes', 'no'])
  .transform((v) => ['true', '1', 'on', 'yes'].includes(v));
export const flag = (fallback: boolean) => switchable.default(fallback);
export const integer = (fallback: number, min: number, max: number) =>
  z.coerce
    .number({ error: `must be a whole number from ${min} to ${max}` })
    .int(`must be a whole number from ${min} to ${max}`)
    .min(min, `must be at least ${min}`)
    .max(max, `must be at most ${max}`)
    .default(fallback);
/** `auto`: one for each core. */
export const processes = z.union(
  [z.literal('auto').transform(() => processors().count), z.coerce.number().int().min(1).max(64)],
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
      // `bytes` alone reads `64G` as 64.
      const parsed = /^\d+(\.\d+)? *([kmgtp]?b)?$/i.test(value.trim()) ? bytes.parse(value.trim()) : null;
      if (parsed !== null) return parsed;
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
