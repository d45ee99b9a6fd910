/** The settings of Cloudflare Stream: absent unless something may be encoded there, and then complete. */
import type { Env } from './config.ts';

export const ENCODERS = ['ffmpeg', 'stream', 'both'] as const;
/** Who encodes a media: our FFmpeg, Cloudflare Stream, or each its own. */
export type Encoder = (typeof ENCODERS)[number];

export type StreamConfig = NonNullable<ReturnType<typeof streamConfig>>;

const uses = (env: Env): boolean => [env.ENCODER, ...env.ENCODER_CHOICE].some((name) => name !== 'ffmpeg');

/** What is missing or contradicts itself, one sentence for each. */
export function streamProblems(env: Env): string[] {
  const problems: string[] = [];
  if (!!env.STREAM_SIGNING_KEY !== !!env.STREAM_SIGNING_KEY_ID)
    problems.push('STREAM_SIGNING_KEY and STREAM_SIGNING_KEY_ID go together: set both or neither');
  if (!uses(env)) return problems;
  const why = env.ENCODER === 'ffmpeg' ? 'ENCODER_CHOICE allows Stream' : `ENCODER is ${env.ENCODER}`;
  if (!env.STREAM_ACCOUNT_ID) problems.push(`STREAM_ACCOUNT_ID is missing (${why})`);
  if (!env.STREAM_API_TOKEN) problems.push(`STREAM_API_TOKEN is missing (${why})`);
  if (!env.PUBLIC_URL && env.STREAM_TRANSFER === 'copy')
    problems.push(
      'PUBLIC_URL is missing (Stream fetches uploads from there; without a public address set STREAM_TRANSFER=push)',
    );
  // By itself it may be missing here: the one that `stream webhook register` stored is looked for at boot.
  if (problems.length && !env.STREAM_WEBHOOK_SECRET && env.STREAM_TRANSFER === 'copy')
    problems.push(
      'STREAM_WEBHOOK_SECRET is missing (or run `npm run stream -- webhook register` once the others are set)',
    );
  return problems;
}

/** Undefined: nothing is ever sent to Stream. */
export function streamConfig(env: Env) {
  if (!uses(env)) return undefined;
  return {
    accountId: env.STREAM_ACCOUNT_ID ?? '',
    apiToken: env.STREAM_API_TOKEN ?? '',
    apiUrl: env.STREAM_API_URL.replace(/\/+$/, ''),
    /** copy: Stream fetches the upload from PUBLIC_URL; push: we send it there. */
    transfer: env.STREAM_TRANSFER,
    webhookSecrets: [env.STREAM_WEBHOOK_SECRET, env.STREAM_WEBHOOK_SECRET_PREVIOUS].filter(
      (secret) => secret !== undefined,
    ),
    sourceKeys: [env.SOURCE_KEY, env.SOURCE_KEY_PREVIOUS].filter((key) => key !== undefined),
    signedUrls: env.STREAM_SIGNED_URLS,
    signingKey:
      env.STREAM_SIGNING_KEY && env.STREAM_SIGNING_KEY_ID
        ? { id: env.STREAM_SIGNING_KEY_ID, key: env.STREAM_SIGNING_KEY }
        : undefined,
    /** Videos that Stream takes at a time; the others wait here. */
    maxInFlight: env.STREAM_MAX_IN_FLIGHT,
    /** Calls that looking may make in five minutes. */
    pollCalls: env.STREAM_POLL_CALLS,
    /** Milliseconds. */
    times: {
      pollFirst: env.STREAM_POLL_FIRST,
      pollLongest: env.STREAM_POLL_LONGEST,
      lookup: env.STREAM_LOOKUP,
      deadline: env.STREAM_DEADLINE,
      request: env.STREAM_TIMEOUT,
    },
  };
}
