/**
 * Whole upload -> complete: the object is in its place before anybody is told, and media and ledger change in one
 * transaction. Exactly once, whatever crashes: who comes next does what is missing.
 */
import type { UploadRow } from '../../db/schema.ts';
import { endPartials, partialsOf } from './concatenation.ts';
import type { Endings } from './endings.ts';
import type { UploadHooks } from './hooks.ts';
import { inTime, joinInTime } from './joining.ts';
import type { Lease, Leases } from './ledger/leases.ts';
import { assertUnended, commit, findUpload, gone, isWhole } from './ledger/ledger.ts';
import { assembling, tooLarge } from './problems.ts';
import type { Progress } from './progress.ts';
import { objectDigest } from './repr-digest.ts';
import type { Driver, StoreContext } from './store.ts';

export interface Finishing {
  /** Completes the upload when it is whole. Reading a large object back may take longer than a request: 423 then, and it goes on. */
  finishInTime(lease: Lease): Promise<void>;
  /** Completes a finish that was left open, however long that takes. Throws 410. */
  finishLeft(lease: Lease): Promise<void>;
  /** Completes an upload that is `assembling`, in this time or later; the upload as far as it is. Throws 410. */
  join(upload: UploadRow): Promise<UploadRow>;
}

export interface FinishingOptions {
  ctx: StoreContext;
  driver: Driver;
  hooks: Pick<UploadHooks, 'finish'>;
  leases: Leases;
  endings: Endings;
  progress: Progress;
  /** Resolves when what was committed survives a power cut. */
  durable(): Promise<void>;
}

export function createFinishing(options: FinishingOptions): Finishing {
  const { ctx, driver, hooks, leases, endings, progress, durable } = options;
  const { db, logger, joinWaitMs: waitMs } = ctx;
  const { maxSize, expiresMs } = ctx.config.uploads;

  async function finish(lease: Lease): Promise<void> {
    const { id, kind, mediaId } = lease.upload;
    await driver.close(lease);
    if (lease.upload.state === 'receiving') await driver.save(lease, { state: 'assembling' });
    const partials = kind === 'final' ? await concatenate(lease) : [];
    await driver.assemble(lease);
    const digest = await verify(lease);
    lease.check();
    let accepted = true;
    // A partial that no final claims expires; everything else is there to stay.
    const expiresAt = kind === 'partial' ? Date.now() + expiresMs : null;
    const offset = lease.upload.length ?? lease.upload.offset;
    await commit(db, lease, { state: 'complete', expiresAt, offset, digest }, async (trx, upload) => {
      await progress.tell(trx, upload);
      if (kind === 'partial') return;
      if (kind === 'final') await endPartials(trx, id);
      accepted = await hooks.finish(trx, upload);
    });
    await durable();
    progress.forget(id);
    for (const partial of partials) await endings.discardOrLeave(partial);
    await driver.tidy(lease.upload);
    if (kind === 'partial') return finishFinal(lease.upload);
    if (accepted) return;
    logger.info({ upload: id, media: mediaId }, 'upload finished after its media ended');
    await endings.abandon(lease);
    throw gone('The media of this upload was cancelled.');
  }

  /** Puts the partials of a final together. */
  async function concatenate(lease: Lease): Promise<UploadRow[]> {
    const partials = await partialsOf(db, lease.upload);
    if ((lease.upload.length ?? 0) > maxSize)
      await endings.reject(lease, tooLarge(`Together the parts have more than ${maxSize} bytes.`));
    await driver.concatenate(lease, partials);
    return partials;
  }

  /** Reads the object back when its client said or asked what it is: its digest. Ends the upload when it is not that. */
  async function verify(lease: Lease): Promise<string | undefined> {
    const { digest, key, length } = lease.upload;
    if (digest === null) return undefined;
    const whole = objectDigest(digest);
    // As a range: storage that gives less than the whole is an outage, and says nothing of the bytes.
    const range = length ? { start: 0, end: length - 1 } : undefined;
    for await (const chunk of await ctx.storage.read(key, range)) {
      lease.check();
      whole.update(chunk as Buffer);
    }
    const { found, failure } = whole.end();
    return failure ? endings.reject(lease, failure) : found;
  }

  /** The last partial completes its final. Who fails or comes too late leaves it to the next HEAD, or the sweep. */
  async function finishFinal({ finalId }: UploadRow): Promise<void> {
    const final = finalId === null ? undefined : await findUpload(db, finalId);
    if (final?.upload.state !== 'assembling') return;
    await join(final.upload).catch((error: unknown) => {
      logger.warn({ err: error, upload: finalId }, 'a final upload is left to the sweep');
    });
  }

  async function finishLeft(lease: Lease): Promise<void> {
    assertUnended(lease.upload);
    if (isWhole(lease.upload)) await endings.unlessLost(lease, () => finish(lease));
  }

  const join = (upload: UploadRow): Promise<UploadRow> =>
    joinInTime({ leases, logger, waitMs, complete: finishLeft }, upload);

  return {
    async finishInTime(lease) {
      if (lease.upload.digest === null) return finishLeft(lease);
      const work = finishLeft(lease);
      lease.outlive(work);
      if (!(await inTime(work, { logger, waitMs }, lease.upload.id))) throw assembling();
    },
    finishLeft,
    join,
  };
}
