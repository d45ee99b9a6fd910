/** Work beside FFmpeg, while it runs. */
import { setTimeout as sleep } from 'node:timers/promises';

/** Somebody may be waiting for the first segment. */
const POLL_MS = 50;

/** Calls `round` again and again while `run` runs, and once more at its end. Whichever fails ends the other. */
export async function follow(
  signal: AbortSignal,
  run: (signal: AbortSignal) => Promise<void>,
  round: (last: boolean) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  let running = true;
  const end = run(AbortSignal.any([signal, stop.signal])).finally(() => (running = false));
  const ended = end.catch(() => undefined);
  try {
    while (running) {
      await round(false);
      await Promise.race([sleep(POLL_MS), ended]);
    }
  } catch (error) {
    stop.abort();
    await ended;
    throw error;
  }
  await end;
  await round(true);
}
