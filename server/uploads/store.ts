/** What the disk and the S3 store share: a @tus/server DataStore whose every fact comes from the ledger. */
import { DataStore, Upload } from '@tus/server';
import { flushed, type Trx } from '../../db/dialect.ts';
import type { UploadRow } from '../../db/schema.ts';
import type { Context } from '../context.ts';
import type { AppError } from '../errors.ts';
import { emit } from '../events/events.ts';
import { assertWhole, type RequestBody } from './body.ts';
import { advanceFinal, assertUnused, endPartials, partialsOf } from './concatenation.ts';
import type { UploadHooks } from './hooks.ts';
import type { Lease, Leases } from './ledger/leases.ts';
import { inTime, joinInTime } from './joining.ts';
import {
  assertUnended,
  commit,
  findUpload,
  gone,
  isPastExpiry,
  isWhole,
  type LedgerChanges,
} from './ledger/ledger.ts';
import { assembling, tooLarge } from './problems.ts';
import { currentExchange } from './exchange.ts';
import { quotaExceeded, quotaFor, quotaLeft } from './quota.ts';
import { objectDigest } from './repr-digest.ts';
import { Room } from './room.ts';

/** Parts of the running server that the stores need. */
export interface StoreContext extends Pick<Context, 'config' | 'db' | 'logger' | 'storage'> {
  /** Bytes that no ledger row knows are left alone for so long: a request may be about to tell of them. */
  strayAfterMs: number;
  /** How long an answer waits for a final upload to be put together. */
  joinWaitMs: number;
}

/** Where finished partial uploads wait for their final one. */
export const PARTIALS = 'partials/';

const PROGRESS_EVERY_MS = 1_000;

/**
 * Stores bytes, and promises of them only what the ledger knows. The methods that @tus/server's handlers call run
 * under the lease that its locker took; drivers say how bytes are kept.
 */
export abstract class LedgerStore extends DataStore {
  override extensions = [
    'checksum',
    'checksum-trailer',
    'concatenation',
    'concatenation-unfinished',
    'creation',
    'creation-with-upload',
    'creation-defer-length',
    'expiration',
    'termination',
  ];
  readonly ctx: StoreContext;
  readonly room: Room;
  readonly #hooks: UploadHooks;
  readonly #leases: Leases;
  readonly #progressAt = new Map<string, number>();

  constructor(ctx: StoreContext, hooks: UploadHooks, leases: Leases) {
    super();
    this.ctx = ctx;
    this.room = new Room(ctx);
    this.#hooks = hooks;
    this.#leases = leases;
  }

  /**
   * Stores the body from the ledger's offset on, and commits what is stored as it goes and when the body ends,
   * however it ends; of a `tentative` body all at its end, or nothing. Throws only after what could be saved is saved.
   * With `handBack` the last commit of an upload that is not whole may give the lease back too.
   */
  protected abstract append(lease: Lease, body: RequestBody, handBack: boolean): Promise<void>;
  /** Makes the partials' objects the stored bytes of a final upload, so that `assemble` can go on. May be repeated. */
  protected abstract concatenate(lease: Lease, partials: UploadRow[]): Promise<void>;
  /** Makes the stored bytes the object `upload.key` and checks its size. Does nothing when that was done before. */
  protected abstract assemble(upload: UploadRow): Promise<void>;
  /** Removes whatever is stored of an upload that will never be complete. Idempotent. */
  abstract discardBytes(upload: UploadRow): Promise<void>;
  /** Removes bytes that no ledger row knows, left by crashes an hour ago or more. Only what is ours. */
  abstract removeStrays(): Promise<void>;

  /** The upload as the lease's holder sees it; completes a finish that a crash left open. Throws 410, 423. */
  override async getUpload(id: string): Promise<Upload> {
    const lease = this.#leases.held(id);
    assertUnended(lease.upload);
    if (isWhole(lease.upload)) await this.#finishInTime(lease);
    const { length, offset, createdAt } = lease.upload;
    return new Upload({
      id,
      size: length ?? undefined,
      offset,
      creation_date: new Date(createdAt).toISOString(),
    });
  }

  /** The length of an upload that was created without one. Throws 413 and 507. */
  override async declareUploadLength(id: string, length: number): Promise<void> {
    const lease = this.#leases.held(id);
    const { owner, offset } = lease.upload;
    const { db, config } = this.ctx;
    const quota = quotaFor(owner, currentExchange().principal, config.uploads);
    if ((await quotaLeft(db, owner, quota)) < length - offset) throw quotaExceeded(quota);
    await this.room.claim(db, await this.room.free(), length - offset);
    await this.save(lease, { length });
  }

  /**
   * Appends a request's body and finishes the upload when it is whole. Returns the committed offset. `onSurplus` is
   * called before that when more came than the upload has room for, and may end it. `handBack`: the caller wants
   * nothing more of the lease afterwards, which saves a commit.
   */
  async receive(
    lease: Lease,
    body: RequestBody,
    { onSurplus, handBack = false }: { onSurplus?: () => Promise<void>; handBack?: boolean } = {},
  ): Promise<number> {
    if (lease.upload.state === 'receiving') {
      await this.append(lease, body, handBack && !onSurplus);
      if (body.end === 'too_large') await onSurplus?.();
      if (isWhole(lease.upload)) await this.#finishInTime(lease);
    } else while (await body.next()); // nothing may follow the last byte; its limit is 0
    assertWhole(body, lease.upload.id);
    return lease.upload.offset;
  }

  /** Reading a large object back takes longer than its request may: then it goes on without it. Throws 423. */
  async #finishInTime(lease: Lease): Promise<void> {
    const { id, digest } = lease.upload;
    if (digest === null) return this.finish(lease);
    const work = this.finish(lease);
    lease.outlive(work);
    const { logger, joinWaitMs: waitMs } = this.ctx;
    if (!(await inTime(work, { logger, waitMs }, id))) throw assembling();
  }

  /**
   * Whole upload -> complete: the object is in its place before anybody is told, and media and ledger change in
   * one transaction. Exactly once, whatever crashes: who comes next does what is missing.
   */
  async finish(lease: Lease): Promise<void> {
    const { id, kind, mediaId } = lease.upload;
    if (lease.upload.state === 'receiving') await this.save(lease, { state: 'assembling' });
    const partials = kind === 'final' ? await this.#join(lease) : [];
    await this.assemble(lease.upload);
    const digest = await this.#verify(lease);
    lease.check();
    let accepted = true;
    // A partial that no final claims expires; everything else is there to stay.
    const expiresAt = kind === 'partial' ? Date.now() + this.ctx.config.uploads.expiresMs : null;
    const offset = lease.upload.length ?? lease.upload.offset;
    await commit(
      this.ctx.db,
      lease,
      { state: 'complete', expiresAt, offset, digest },
      async (trx, upload) => {
        await this.#tellProgress(trx, upload);
        if (kind === 'partial') return;
        if (kind === 'final') await endPartials(trx, id);
        accepted = await this.#hooks.finish(trx, upload);
      },
    );
    await this.durable();
    this.#progressAt.delete(id);
    for (const partial of partials) await this.#discardOrLeave(partial);
    if (kind === 'partial') return this.#finishFinal(lease.upload);
    if (accepted) return;
    this.ctx.logger.info({ upload: id, media: mediaId }, 'upload finished after its media ended');
    await this.#end(lease, 'terminated');
    await this.discardBytes(lease.upload);
    throw gone('The media of this upload was cancelled.');
  }

  /** Puts the partials of a final together. */
  async #join(lease: Lease): Promise<UploadRow[]> {
    const partials = await partialsOf(this.ctx.db, lease.upload);
    const { maxSize } = this.ctx.config.uploads;
    if ((lease.upload.length ?? 0) > maxSize)
      await this.#reject(lease, tooLarge(`Together the parts have more than ${maxSize} bytes.`));
    await this.concatenate(lease, partials);
    return partials;
  }

  /** Completes an upload that is `assembling`, in this time or later; the upload as far as it is. Throws 410. */
  join(upload: UploadRow): Promise<UploadRow> {
    const { logger, joinWaitMs: waitMs } = this.ctx;
    const complete = (lease: Lease): Promise<void> => this.finishLeft(lease);
    return joinInTime({ leases: this.#leases, logger, waitMs, complete }, upload);
  }

  /** Completes a finish that was left open, however long that takes. Throws 410. */
  async finishLeft(lease: Lease): Promise<void> {
    assertUnended(lease.upload);
    if (isWhole(lease.upload)) await this.finish(lease);
  }

  /** The last partial completes its final. Who fails or comes too late leaves it to the next HEAD, or the sweep. */
  async #finishFinal({ finalId }: UploadRow): Promise<void> {
    const final = finalId === null ? undefined : await findUpload(this.ctx.db, finalId);
    if (final?.upload.state !== 'assembling') return;
    await this.join(final.upload).catch((error: unknown) => {
      this.ctx.logger.warn({ err: error, upload: finalId }, 'a final upload is left to the sweep');
    });
  }

  /** Reads the object back when its client said or asked what it is: its digest. Ends the upload when it is not that. */
  async #verify(lease: Lease): Promise<string | undefined> {
    const { digest, key } = lease.upload;
    if (digest === null) return undefined;
    const whole = objectDigest(digest);
    for await (const chunk of await this.ctx.storage.read(key)) {
      lease.check();
      whole.update(chunk as Buffer);
    }
    const { found, failure } = whole.end();
    return failure ? this.#reject(lease, failure) : found;
  }

  /** What came is not what was promised: nothing of it is kept. */
  async #reject(lease: Lease, failure: AppError): Promise<never> {
    await this.#end(lease, 'terminated', (trx, upload) => this.#hooks.reject(trx, upload, failure));
    await this.#discardOrLeave(lease.upload);
    throw failure;
  }

  /** Termination (tus 1.0): an unfinished upload's bytes go, a finished one's media is deleted. Throws 410. */
  override async remove(id: string): Promise<void> {
    const lease = this.#leases.held(id);
    const { state } = lease.upload;
    if (state === 'terminated' || state === 'expired') throw gone('The upload was cancelled before.');
    const complete = state === 'complete' && lease.upload.kind !== 'partial';
    await this.#end(lease, 'terminated', (trx, upload) => {
      assertUnused(upload);
      return this.#hooks.terminate(trx, upload, complete);
    });
    if (!complete) await this.#discardOrLeave(lease.upload);
  }

  /** Ends an upload that nobody went on with. */
  async expire(lease: Lease): Promise<void> {
    if (!isPastExpiry(lease.upload)) return;
    await this.#end(lease, 'expired', (trx, upload) => {
      assertUnused(upload);
      return this.#hooks.expire(trx, upload);
    });
    await this.#discardOrLeave(lease.upload);
  }

  /** Ends an upload whose media ended, and removes its bytes. */
  async abandon(lease: Lease): Promise<void> {
    const { state } = lease.upload;
    if (state !== 'terminated' && state !== 'expired') await this.#end(lease, 'terminated');
    await this.discardBytes(lease.upload);
  }

  /**
   * Commits under the lease, and waits until that survives a power cut (unless UPLOAD_FSYNC is false). Activity
   * makes the upload live longer; progress is told about once a second.
   */
  protected async save(lease: Lease, changes: LedgerChanges): Promise<void> {
    const expiresAt = Date.now() + this.ctx.config.uploads.expiresMs;
    const before = lease.upload.offset;
    await commit(this.ctx.db, lease, { expiresAt, ...changes }, async (trx, upload) => {
      if (upload.offset > before && upload.kind === 'single') await this.#hooks.arrive(trx, upload, before);
      const due = Date.now() - (this.#progressAt.get(upload.id) ?? 0) >= PROGRESS_EVERY_MS;
      if (due && changes.offset !== undefined) await this.#tellProgress(trx, upload);
    });
    await this.durable();
  }

  /** Resolves when what was committed before, by whomever, survives a power cut: then a client may be told. */
  async durable(): Promise<void> {
    if (this.ctx.config.uploads.fsync) await flushed(this.ctx.db);
  }

  async #end(
    lease: Lease,
    state: 'terminated' | 'expired',
    along?: (trx: Trx, upload: UploadRow) => Promise<void>,
  ): Promise<void> {
    await commit(this.ctx.db, lease, { state, expiresAt: null }, along);
    await this.durable();
    this.#progressAt.delete(lease.upload.id);
  }

  /** The media's `discard` job does it again, so that an outage now leaves nothing behind. */
  async #discardOrLeave(upload: UploadRow): Promise<void> {
    try {
      await this.discardBytes(upload);
    } catch (error) {
      this.ctx.logger.warn(
        { err: error, upload: upload.id },
        'bytes of an ended upload are left to its discard job',
      );
    }
  }

  /** Of a partial its final tells, if there is one. */
  async #tellProgress(trx: Trx, upload: UploadRow): Promise<void> {
    if (this.#progressAt.size > 10_000) this.#progressAt.clear();
    this.#progressAt.set(upload.id, Date.now());
    const expiresAt = Date.now() + this.ctx.config.uploads.expiresMs;
    const told =
      upload.kind !== 'partial'
        ? upload
        : upload.finalId !== null && (await advanceFinal(trx, upload.finalId, expiresAt));
    if (!told) return;
    const { owner, mediaId, offset, length } = told;
    emit(trx, { type: 'upload.progress', owner, mediaId, payload: { offset, length } });
  }
}
