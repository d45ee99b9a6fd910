/** Whether a step failed because storage is away: then it waits until that is back, and the attempt doesn't count. */
import { setTimeout as sleep } from 'node:timers/promises';
import { JobError, JobPostponed } from '../jobs/job.ts';
import type { Storage } from '../storage/storage.ts';
import { isFull } from './failures.ts';

/** Until a worker looks again, on average. */
const DELAY_MS = 15_000;
/** Storage that says nothing for so long is away. */
const SILENCE_MS = 10_000;

/**
 * Resolves with what to throw in place of an error that ended a step, if storage can't be used at all now. An outage of
 * minutes, or a key that has to be renewed, would else use up the attempts of every media that is being worked on. One object
 * that can't be read or written is another matter: its attempts count.
 */
export async function postponedByStorage(
  error: unknown,
  storage: Pick<Storage, 'check'>,
  signal: AbortSignal,
): Promise<JobPostponed | undefined> {
  if (error instanceof JobError || error instanceof JobPostponed || isFull(error)) return undefined;
  if (signal.aborted || (await isUsable(storage, signal))) return undefined;
  return new JobPostponed({
    code: 'storage_unavailable',
    message: 'Storage can not be used now. It goes on when that is back.',
    delayMs: Math.round(DELAY_MS * (0.5 + Math.random())),
  });
}

/** True as well when nobody wants to know any more. */
async function isUsable(storage: Pick<Storage, 'check'>, signal: AbortSignal): Promise<boolean> {
  const answer = storage.check().then(
    () => true,
    () => false,
  );
  const silence = sleep(SILENCE_MS, false, { signal, ref: false }).catch(() => true);
  return Promise.race([answer, silence]);
}
