/** Waiting for a service at the start: after a power cut, or in a cluster, it may come up later than we do. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isOutage, messageOf } from './errors.ts';
import type { Logger } from './telemetry.ts';

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Runs `work` until it succeeds, with growing pauses, as long as it ends in outages; says what it waits for. Throws what is
 * no outage (a wrong password, a missing bucket) at once, and an outage when it lasts longer than `patienceMs`.
 */
export async function whenThere<T>(
  what: string,
  work: () => Promise<T>,
  { logger, patienceMs }: { logger: Logger; patienceMs: number },
): Promise<T> {
  const deadline = performance.now() + patienceMs;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      return await work();
    } catch (error) {
      if (!isOutage(error)) throw error;
      const left = deadline - performance.now();
      if (left <= 0)
        throw new Error(
          `${what} was not there for ${patienceMs / 1000} s (START_TIMEOUT): ${messageOf(error)}`,
          {
            cause: error,
          },
        );
      logger.warn(`waiting for ${what}: ${messageOf(error)}`);
      await sleep(Math.min(pause, left));
    }
  }
}
