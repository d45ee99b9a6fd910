/** Ends of uploads that will never be complete: the ledger says so first, and then their bytes go. */
import type { Trx } from '../../db/dialect.ts';
import type { UploadRow } from '../../db/schema.ts';
import type { AppError } from '../errors.ts';
import { assertUnused } from './concatenation.ts';
import type { UploadHooks } from './hooks.ts';
import type { Lease } from './ledger/leases.ts';
import { commit, gone, isPastExpiry, releaseIdempotencyKey } from './ledger/ledger.ts';
import { BytesLostError, uploadLost } from './problems.ts';
import type { Progress } from './progress.ts';
import type { StoreContext } from './store.ts';

export interface Endings {
  /** Termination (tus 1.0): an unfinished upload's bytes go, a finished one's media is deleted. Throws 403, 410. */
  terminate(lease: Lease): Promise<void>;
  /** Ends an upload that nobody went on with. */
  expire(lease: Lease): Promise<void>;
  /** Ends an upload whose media ended, and removes its bytes. */
  abandon(lease: Lease): Promise<void>;
  /** What came is not what was promised: nothing of it is kept, and its media fails. Throws `failure`. */
  reject(lease: Lease, failure: AppError): Promise<never>;
  /** Does the work. Ends the upload when storage turns out to have lost bytes of it. Throws 410 then. */
  unlessLost<T>(lease: Lease, work: () => Promise<T>): Promise<T>;
  /** Removes the bytes of an ended upload, or leaves them to its media's `discard` job in an outage. */
  discardOrLeave(upload: UploadRow): Promise<void>;
}

export interface EndingsOptions {
  ctx: Pick<StoreContext, 'db' | 'logger'>;
  hooks: Pick<UploadHooks, 'terminate' | 'expire' | 'reject'>;
  progress: Progress;
  /** Resolves when what was committed survives a power cut. */
  durable(): Promise<void>;
  discardBytes(upload: UploadRow): Promise<void>;
}

export function createEndings({ ctx, hooks, progress, durable, discardBytes }: EndingsOptions): Endings {
  async function end(
    lease: Lease,
    state: 'terminated' | 'expired',
    along?: (trx: Trx, upload: UploadRow) => Promise<void>,
  ): Promise<void> {
    await commit(ctx.db, lease, { state, expiresAt: null }, along);
    await durable();
    progress.forget(lease.upload.id);
  }

  async function discardOrLeave(upload: UploadRow): Promise<void> {
    try {
      await discardBytes(upload);
    } catch (error) {
      ctx.logger.warn(
        { err: error, upload: upload.id },
        'bytes of an ended upload are left to its discard job',
      );
    }
  }

  async function reject(lease: Lease, failure: AppError): Promise<never> {
    await end(lease, 'terminated', async (trx, upload) => {
      await releaseIdempotencyKey(trx, upload);
      await hooks.reject(trx, upload, failure);
    });
    await discardOrLeave(lease.upload);
    throw failure;
  }

  return {
    async terminate(lease) {
      const { state } = lease.upload;
      if (state === 'terminated' || state === 'expired') throw gone('The upload was cancelled before.');
      const complete = state === 'complete' && lease.upload.kind !== 'partial';
      await end(lease, 'terminated', (trx, upload) => {
        assertUnused(upload);
        return hooks.terminate(trx, upload, complete);
      });
      if (!complete) await discardOrLeave(lease.upload);
    },
    async expire(lease) {
      if (!isPastExpiry(lease.upload)) return;
      await end(lease, 'expired', async (trx, upload) => {
        assertUnused(upload);
        await releaseIdempotencyKey(trx, upload);
        await hooks.expire(trx, upload);
      });
      await discardOrLeave(lease.upload);
    },
    async abandon(lease) {
      const { state } = lease.upload;
      if (state !== 'terminated' && state !== 'expired') await end(lease, 'terminated');
      await discardBytes(lease.upload);
    },
    reject,
    async unlessLost(lease, work) {
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof BytesLostError)) throw error;
        ctx.logger.error({ err: error, upload: lease.upload.id }, 'storage lost bytes of an upload');
        return reject(lease, uploadLost());
      }
    },
    discardOrLeave,
  };
}
