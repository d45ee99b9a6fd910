/**
 * Ends that take long: copying the parts of a final upload, or reading an object back to compare its digest, may take
 * minutes, and an answer must not, as proxies give up after 60 s (nginx). So after a while requests are answered and the
 * work goes on under its lease; after a crash the sweep, or any HEAD, does it again.
 *
 * A `single` upload is answered with 423 meanwhile. tus-js-client never repeats the creation of a final upload, whatever
 * it is answered; there tus 1.0 lets us say less instead: "The response to a HEAD request for a final upload SHOULD NOT contain the Upload-Offset header unless the
 * concatenation has been successfully finished."
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { UploadRow } from '../../db/schema.ts';
import type { Logger } from '../telemetry.ts';
import type { Lease, Leases } from './ledger/leases.ts';

export interface Joining {
  leases: Leases;
  logger: Logger;
  /** How long an answer may wait for the end. */
  waitMs: number;
  /** Completes the upload; does nothing when bytes are missing. */
  complete(lease: Lease): Promise<unknown>;
}

/**
 * Completes an upload whose bytes are stored, unless another request is at it. Resolves with the upload as it is then, or as it was when
 * that takes long. Throws what went wrong in that time; later it is logged.
 */
export async function joinInTime(joining: Joining, upload: UploadRow): Promise<UploadRow> {
  const lease = await joining.leases.tryAcquire(upload.id);
  if (!lease) return upload;
  const ended = await inTime(finish(joining, lease), joining, upload.id);
  return ended ? lease.upload : upload;
}

/** True when the work ends in time, and throws what it threw; false when it goes on, and its failure will be logged. */
export async function inTime(
  work: Promise<unknown>,
  { logger, waitMs }: Pick<Joining, 'logger' | 'waitMs'>,
  uploadId: string,
): Promise<boolean> {
  const waiting = new AbortController();
  const late = sleep(waitMs, 'late', { signal: waiting.signal, ref: false }).catch(() => undefined);
  if ((await Promise.race([work, late]).finally(() => waiting.abort())) !== 'late') return true;
  work.catch((error: unknown) => {
    logger.warn({ err: error, upload: uploadId }, 'an upload could not be finished behind its request');
  });
  return false;
}

async function finish({ complete }: Joining, lease: Lease): Promise<void> {
  try {
    await complete(lease);
  } finally {
    await lease.release();
  }
}
