/**
 * The end of a final upload. Copying many gigabytes takes minutes, and an answer must not: proxies give up after 60 s
 * (nginx), and tus-js-client never repeats the creation of a final upload, whatever it is answered. tus 1.0 lets us say
 * less instead: "The response to a HEAD request for a final upload SHOULD NOT contain the Upload-Offset header unless the
 * concatenation has been successfully finished." So after a while POST and HEAD are answered without it, and the
 * copying goes on under its lease; after a crash the sweep, or any HEAD, does it again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { UploadRow } from '../../db/schema.ts';
import type { Logger } from '../telemetry.ts';
import type { Lease, Leases } from './leases.ts';

export interface Joining {
  leases: Leases;
  logger: Logger;
  /** How long an answer may wait for the end. */
  waitMs: number;
  /** Completes the upload whose lease this process has; does nothing when bytes are missing. */
  complete(id: string): Promise<unknown>;
}

/**
 * Completes a final upload, unless another request is at it. Resolves with the upload as it is then, or as it was when
 * that takes long. Throws what went wrong in that time; later it is logged.
 */
export async function joinInTime(joining: Joining, upload: UploadRow): Promise<UploadRow> {
  const lease = await joining.leases.tryAcquire(upload.id);
  if (!lease) return upload;
  const work = finish(joining, lease);
  const waiting = new AbortController();
  const patience = sleep(joining.waitMs, undefined, { signal: waiting.signal, ref: false });
  const late = patience.then(
    () => true,
    () => false,
  );
  const first = await Promise.race([work, late]).finally(() => waiting.abort());
  if (typeof first === 'object') return first;
  work.catch((error: unknown) => {
    joining.logger.warn({ err: error, upload: upload.id }, 'a final upload is left to the sweep');
  });
  return upload;
}

async function finish({ complete }: Joining, lease: Lease): Promise<UploadRow> {
  try {
    await complete(lease.upload.id);
    return lease.upload;
  } finally {
    await lease.release();
  }
}
