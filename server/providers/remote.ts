/** What the parts of this folder share while a provider is in use. */
import type { Context } from '../context.ts';
import type { StreamConfig } from '../stream-config.ts';
import type { Logger } from '../telemetry.ts';
import type { SourceKeys } from '../auth/source-tokens.ts';
import type { Advance, Observing } from './observe.ts';
import { ProviderError, type Provider } from './provider.ts';
import { block } from './rate.ts';

export interface Remote extends Pick<Context, 'db' | 'storage'> {
  provider: Provider;
  settings: StreamConfig;
  /** PUBLIC_URL. */
  publicUrl: string;
  sourceKeys: SourceKeys;
  observing: Observing;
  advance: Advance;
  logger: Logger;
}

/** Milliseconds times 0.8 to 1.2, so that what came together doesn't come back together. */
export const jittered = (ms: number): number => Math.round(ms * (0.8 + Math.random() * 0.4));

/** Milliseconds until the next look at a video that was looked at `tries` times. */
export function pollPause({ times }: StreamConfig, tries: number): number {
  return jittered(Math.min(times.pollFirst * 2 ** Math.min(tries, 20), times.pollLongest));
}

/** When the provider says "too many requests" without saying for how long. */
const QUIET_MS = 60_000;

/** Runs calls; "too many requests" keeps everybody quiet for as long as was asked. Other trouble is for the log. */
export async function obeying(
  { db, provider, logger }: Remote,
  what: string,
  calls: () => Promise<void>,
): Promise<void> {
  try {
    await calls();
  } catch (error) {
    if (!(error instanceof ProviderError)) throw error;
    if (error.trouble === 'busy') await block(db, provider.name, error.retryAfterMs ?? QUIET_MS);
    logger.warn({ trouble: error.trouble }, `${what}: ${error.message}`);
  }
}
