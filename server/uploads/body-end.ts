/** How the body of a request came to its end, and what its client is told of that. */
import { AppError } from '../errors.ts';
import { LeaseLostError } from './ledger/ledger.ts';
import type { LeaseEnd } from './ledger/leases.ts';

/**
 * complete:  the client sent all it wanted to send
 * cut:       the connection broke
 * stopped:   what arrives can't be stored any more; the client lives
 * idle:      nothing arrived for too long
 * too_large: more arrived than may; the surplus was dropped
 * otherwise: the lease ended
 */
export type BodyEnd = 'complete' | 'cut' | 'stopped' | 'idle' | 'too_large' | LeaseEnd;

interface Ended {
  /** Undefined while reading. */
  end: BodyEnd | undefined;
  /** Why a body that came to its end is not what was promised. */
  failure: AppError | undefined;
}

/** Throws what a body that did not come to its end is answered with; on a cut connection nobody reads it. */
export function assertWhole({ end, failure }: Ended, uploadId: string): void {
  if (failure) throw failure;
  switch (end) {
    case 'complete':
      return;
    case 'too_large':
      throw new AppError(413, 'upload_too_large', 'The request holds more bytes than the upload may take.');
    case 'idle':
      // 408 would be the word for it, but tus clients give up on every 4xx except 409 and 423.
      throw new AppError(503, 'idle_timeout', 'No byte arrived for too long. Resume the upload.', {
        headers: { 'Retry-After': '1', Connection: 'close' },
      });
    case 'shutdown':
      throw new AppError(503, 'shutting_down', 'The server is restarting. Resume the upload in a moment.', {
        headers: { 'Retry-After': '2', Connection: 'close' },
      });
    case 'wanted':
      throw new AppError(423, 'locked', 'A newer request took this upload over.', {
        headers: { 'Retry-After': '1' },
      });
    case 'lost':
      throw new LeaseLostError(uploadId);
    case 'stopped':
      throw new AppError(
        503,
        'storage_unavailable',
        'The server can not store right now. Resume in a moment.',
        {
          headers: { 'Retry-After': '5' },
        },
      );
    case undefined:
      throw new Error(`upload ${uploadId}: its body was left before it came to an end`);
    case 'cut':
      throw new AppError(400, 'request_cut', 'The connection broke. Resume the upload.', {
        headers: { Connection: 'close' },
      });
  }
}
