/** What the disk and the S3 store share: a @tus/server DataStore whose every fact comes from the ledger. */
import { DataStore, Upload } from '@tus/server';
import { flushed } from '../../db/dialect.ts';
import type { UploadRow } from '../../db/schema.ts';
import type { Context } from '../context.ts';
import type { Batching } from './batching.ts';
import type { RequestBody } from './body.ts';
import { assertWhole } from './body-end.ts';
import { wasJoined } from './concatenation.ts';
import { createEndings, type Endings } from './endings.ts';
import { exchangeIfAny, exchangeOf, header, methodOf } from './exchange.ts';
import { createFinishing, type Finishing } from './finishing.ts';
import type { UploadHooks } from './hooks.ts';
import type { Lease, Leases } from './ledger/leases.ts';
import { assertUnended, commit, isWhole, type LedgerChanges } from './ledger/ledger.ts';
import { Progress } from './progress.ts';
import { quotaExceeded, quotaFor, quotaLeft } from './quota.ts';
import { Room } from './room.ts';

/** Parts of the running server that the stores need. */
export interface StoreContext extends Pick<Context, 'config' | 'db' | 'logger' | 'storage'> {
  /** Bytes that no ledger row knows are left alone for so long: a request may be about to tell of them. */
  strayAfterMs: number;
  /** How long an answer waits for a final upload to be put together. */
  joinWaitMs: number;
}

/**
 * Whether the request of a lease declares the length that the ledger has: its client can't know that an earlier try of the
 * same PATCH, whose answer it missed, has done so. @tus/server refuses any length of an upload that it takes for declared (400,
 * which ends the upload); this one is therefore declared once more.
 */
function declaresAgain(lease: Lease, length: number): boolean {
  const exchange = exchangeIfAny(lease);
  if (!exchange || methodOf(exchange) !== 'PATCH') return false;
  return header(exchange, 'upload-length') === String(length);
}

/** An upload's life is prolonged by so much at least: an index moves with it. */
const WORTH_PROLONGING_MS = 60_000;

/** What an upload that somebody goes on with is to live until, where that is worth a change. */
function prolong({ expiresAt: before }: UploadRow, expiresMs: number): Pick<LedgerChanges, 'expiresAt'> {
  const expiresAt = Date.now() + expiresMs;
  const worth = Math.min(WORTH_PROLONGING_MS, expiresMs / 100);
  return before !== null && expiresAt - before < worth ? {} : { expiresAt };
}

/** Where finished partial uploads wait for their final one. */
export const PARTIALS = 'partials/';

/**
 * How bytes are kept until they are an object. Each of these may throw `BytesLostError` when bytes that the ledger knows
 * are not there any more; any other error is an outage, and the upload survives it.
 */
export interface Driver {
  /** Commits under the lease. */
  save(lease: Lease, changes: LedgerChanges): Promise<void>;
  /** Brings what is stored of a whole upload to where `assemble` takes it from. May be repeated. */
  close(lease: Lease): Promise<void>;
  /** Makes the partials' objects the stored bytes of a final upload, so that `assemble` can go on. May be repeated. */
  concatenate(lease: Lease, partials: UploadRow[]): Promise<void>;
  /** Makes the stored bytes the object `upload.key` and checks its size. Does nothing when that was done before. */
  assemble(lease: Lease): Promise<void>;
  /** Removes what a complete upload has no more use for. Never throws. */
  tidy(upload: UploadRow): Promise<void>;
}

/**
 * Stores bytes, and promises of them only what the ledger knows. The methods that @tus/server's handlers call run
 * under the lease that its locker took; drivers say how bytes are kept.
 */
export abstract class LedgerStore extends DataStore implements Driver {
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
  /** How much is gathered of a body before it is appended; undefined: each piece is taken as it comes. */
  readonly batching: Batching | undefined;
  readonly room: Room;
  readonly endings: Endings;
  readonly finishing: Finishing;
  readonly #hooks: UploadHooks;
  readonly #leases: Leases;
  readonly #progress: Progress;

  constructor(ctx: StoreContext, hooks: UploadHooks, leases: Leases) {
    super();
    this.ctx = ctx;
    this.room = new Room(ctx);
    this.#hooks = hooks;
    this.#leases = leases;
    const progress = (this.#progress = new Progress(ctx.config.uploads.expiresMs));
    const durable = (): Promise<void> => this.durable();
    const discardBytes = (upload: UploadRow): Promise<void> => this.discardBytes(upload);
    const endings = (this.endings = createEndings({ ctx, hooks, progress, durable, discardBytes }));
    this.finishing = createFinishing({ ctx, driver: this, hooks, leases, endings, progress, durable });
  }

  /**
   * Stores the body from the ledger's offset on, and commits what is stored as it goes and when the body ends,
   * however it ends; of a `tentative` body all at its end, or nothing. Throws only after what could be saved is saved.
   * With `handBack` the last commit of an upload that is not whole may give the lease back too. Throws `BytesLostError`.
   */
  protected abstract append(lease: Lease, body: RequestBody, handBack: boolean): Promise<void>;
  abstract close(lease: Lease): Promise<void>;
  abstract concatenate(lease: Lease, partials: UploadRow[]): Promise<void>;
  abstract assemble(lease: Lease): Promise<void>;
  abstract tidy(upload: UploadRow): Promise<void>;
  /** Removes whatever is stored of an upload that will never be complete. Idempotent. */
  abstract discardBytes(upload: UploadRow): Promise<void>;
  /** Removes bytes that no ledger row knows, left by crashes an hour ago or more. Only what is ours. */
  abstract removeStrays(): Promise<void>;

  /** The upload as the lease's holder sees it; completes a finish that a crash left open. Throws 410, 423. */
  override async getUpload(id: string): Promise<Upload> {
    const lease = this.#leases.held(id);
    if (!(await wasJoined(this.ctx.db, lease.upload))) assertUnended(lease.upload);
    if (isWhole(lease.upload)) await this.finishing.finishInTime(lease);
    const { length, offset, createdAt } = lease.upload;
    return new Upload({
      id,
      size: length === null || declaresAgain(lease, length) ? undefined : length,
      offset,
      creation_date: new Date(createdAt).toISOString(),
    });
  }

  /** The length of an upload that was created without one. Declaring it once more changes nothing. Throws 413 and 507. */
  override async declareUploadLength(id: string, length: number): Promise<void> {
    const lease = this.#leases.held(id);
    if (lease.upload.length === length) return;
    const { owner, offset } = lease.upload;
    const { db, config } = this.ctx;
    const quota = quotaFor(owner, exchangeOf(lease).principal, config.uploads);
    if ((await quotaLeft(db, owner, quota)) < length - offset) throw quotaExceeded(quota);
    await this.room.claim(db, await this.room.look(length - offset), length - offset);
    await this.save(lease, { length });
  }

  /**
   * Appends a request's body and finishes the upload when it is whole. Returns the committed offset. `onSurplus` is
   * called before that when more came than the upload has room for, and may end it. `handBack`: the caller wants
   * nothing more of the lease afterwards, which saves a commit. Throws 410 when storage lost bytes of the upload.
   */
  async receive(
    lease: Lease,
    body: RequestBody,
    { onSurplus, handBack = false }: { onSurplus?: () => Promise<void>; handBack?: boolean } = {},
  ): Promise<number> {
    if (lease.upload.state === 'receiving') {
      await this.endings.unlessLost(lease, () => this.append(lease, body, handBack && !onSurplus));
      if (body.end === 'too_large') await onSurplus?.();
      if (isWhole(lease.upload)) await this.finishing.finishInTime(lease);
    } else await body.drain((_pieces, _bytes, done) => done()); // nothing may follow the last byte; its limit is 0
    assertWhole(body, lease.upload.id);
    return lease.upload.offset;
  }

  /** Termination (tus 1.0). Throws 403, 410. */
  override remove(id: string): Promise<void> {
    return this.endings.terminate(this.#leases.held(id));
  }

  /**
   * Commits under the lease, and waits until that survives a power cut (unless UPLOAD_FSYNC is false). Activity
   * makes the upload live longer; progress is told about once a second.
   */
  async save(lease: Lease, changes: LedgerChanges): Promise<void> {
    const before = lease.upload.offset;
    const prolonged = prolong(lease.upload, this.ctx.config.uploads.expiresMs);
    await commit(this.ctx.db, lease, { ...prolonged, ...changes }, async (trx, upload) => {
      if (upload.offset > before && upload.kind === 'single') await this.#hooks.arrive(trx, upload, before);
      if (changes.offset !== undefined && this.#progress.isDue(upload.id))
        await this.#progress.tell(trx, upload);
    });
    await this.durable();
  }

  /** Resolves when what was committed before, by whomever, survives a power cut: then a client may be told. */
  async durable(): Promise<void> {
    if (this.ctx.config.uploads.fsync) await flushed(this.ctx.db);
  }
}
