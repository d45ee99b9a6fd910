/**
 * Leases on uploads: one request at a time over all server processes, as rows of `upload_lock`. Taking one
 * raises the upload's epoch, so that a holder that was paused past its lease can commit nothing any more.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from '../../../db/dialect.ts';
import type { UploadRow } from '../../../db/schema.ts';
import { AppError } from '../../errors.ts';
import type { Logger } from '../../telemetry.ts';
import { createHolderNames, isDead, type Holder } from '../../holder.ts';
import { deleteLease, renewLeases, takeLease, wantedLeases, type Taken } from './lease-rows.ts';
import { LeaseLostError, type Hold } from './ledger.ts';

/** Why a holder must stop: another request wants the upload, the lease lapsed, or the server ends. */
export type LeaseEnd = 'wanted' | 'lost' | 'shutdown';

export interface Lease extends Hold {
  readonly holder: Holder;
  /** The row under this lease's epoch, as committed last. */
  upload: UploadRow;
  /** Taken from a holder that may still live and write: its open files are not to be trusted. */
  readonly usurped: boolean;
  /** Aborted when the holder must flush, commit and release; `reason` is a `LeaseEnd`. */
  readonly signal: AbortSignal;
  /** Throws `LeaseLostError` when the lease lapsed: nothing may be written after that. */
  check(): void;
  /** This work goes on after its request: the lease is kept until it ended, although it was released before. */
  outlive(work: Promise<unknown>): void;
  /** Lets go. Never throws: a lease that can't be given back lapses. */
  release(): Promise<void>;
}

export interface LeaseOptions {
  /** How long a lease lasts without renewal. */
  leaseMs?: number;
  /** How often a holder looks whether somebody in another process wants its upload. */
  pollMs?: number;
  /** How long a request waits for a lease before it is told to come back. */
  waitMs?: number;
}

interface Held extends Lease {
  end(reason: LeaseEnd): void;
  validUntil: number;
  released: Promise<void>;
}

export class Leases {
  readonly #db: Db;
  readonly #logger: Logger;
  readonly #options: Required<LeaseOptions>;
  readonly #names = createHolderNames();
  readonly #held = new Map<string, Held>();
  /** Holders whose acquisition may be committed but is not in `#held` yet. */
  readonly #taking = new Set<Holder>();
  #timer: NodeJS.Timeout | undefined;
  /** By `performance.now()`: were it by a clock that is set back, the leases of an hour could lapse. */
  #renewedAt = -Infinity;
  #ticking = false;
  #closed = false;

  constructor(db: Db, logger: Logger, options: LeaseOptions = {}) {
    this.#db = db;
    this.#logger = logger;
    this.#options = { leaseMs: 10_000, pollMs: 300, waitMs: 14_000, ...options };
  }

  /** The lease this process has on an upload. */
  held(uploadId: string): Lease {
    const lease = this.#held.get(uploadId);
    if (!lease) throw new LeaseLostError(uploadId);
    return lease;
  }

  /**
   * Takes the upload over: its holder is asked to flush and let go. Throws 423 `locked` when that takes longer
   * than `waitMs`, 404 when there is no such upload.
   */
  async acquire(uploadId: string): Promise<Lease> {
    const deadline = performance.now() + this.#options.waitMs;
    for (;;) {
      const lease = await this.tryAcquire(uploadId, { demand: true });
      if (lease) return lease;
      const rest = Math.ceil(deadline - performance.now()); // timers know whole milliseconds
      if (rest <= 0) throw locked();
      const here = this.#held.get(uploadId);
      here?.end('wanted');
      // In this process the release wakes us; a holder elsewhere is asked through the row.
      await (here ? Promise.race([here.released, pause(rest)]) : pause(Math.min(rest, this.#options.pollMs)));
    }
  }

  /** Takes the lease when it is free. With `demand` its holder is asked to let go. */
  async tryAcquire(uploadId: string, { demand = false } = {}): Promise<Lease | undefined> {
    if (this.#closed) throw stopping();
    const holder = this.#names.next();
    this.#taking.add(holder);
    try {
      const { leaseMs } = this.#options;
      const isDeadHolder = (other: Holder): boolean => this.#isAbandoned(uploadId, other);
      const taken = await takeLease(this.#db, { uploadId, holder, leaseMs, demand, isDead: isDeadHolder });
      return taken && this.#hold(holder, taken);
    } finally {
      this.#taking.delete(holder);
    }
  }

  /** Asks every holder of this process to flush and let go, waits until they did, and gives out no more leases. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const lease of this.#held.values()) lease.end('shutdown');
    await Promise.all([...this.#held.values()].map((lease) => lease.released));
    clearInterval(this.#timer);
    this.#names.retire();
  }

  /** A row whose holder is gone for sure: its process died, or this process let go and could not say so. */
  #isAbandoned(uploadId: string, holder: Holder): boolean {
    if (!this.#names.isOurs(holder)) return isDead(holder);
    return this.#held.get(uploadId)?.holder !== holder && !this.#taking.has(holder);
  }

  #hold(holder: Holder, { upload, usurped, validUntil }: Taken): Held {
    const stop = new AbortController();
    let busy: Promise<unknown> | undefined;
    let wake!: () => void;
    const lease: Held = {
      holder,
      upload,
      returned: false,
      usurped,
      validUntil,
      signal: stop.signal,
      released: new Promise((resolve) => (wake = resolve)),
      end: (reason) => stop.abort(reason),
      check: () => {
        if (Date.now() < lease.validUntil) return;
        lease.end('lost');
        throw new LeaseLostError(upload.id);
      },
      outlive: (work) => {
        const ended: Promise<void> = work.then(noop, noop).then(() => {
          if (busy === ended) busy = undefined;
        });
        busy = ended;
      },
      release: async () => {
        const forget = () => this.#forget(lease).then(wake);
        if (busy) void busy.then(forget);
        else await forget();
      },
    };
    this.#held.get(upload.id)?.end('lost'); // lapsed in our own hands, e.g. while the database was away
    this.#held.set(upload.id, lease);
    if (this.#closed) lease.end('shutdown');
    this.#timer ??= setInterval(() => void this.#tick(), this.#options.pollMs).unref();
    return lease;
  }

  async #forget(lease: Held): Promise<void> {
    try {
      if (!lease.returned) await deleteLease(this.#db, lease.upload.id, lease.holder);
    } catch (error) {
      this.#logger.warn({ err: error, upload: lease.upload.id }, 'a lease could not be given back');
    }
    if (this.#held.get(lease.upload.id) === lease) this.#held.delete(lease.upload.id);
    if (this.#held.size > 0 || !this.#timer) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Renews what this process holds and learns what others want: two statements for all leases together. */
  async #tick(): Promise<void> {
    const leases = [...this.#held.values()];
    if (this.#ticking || !leases.length) return;
    this.#ticking = true;
    const now = performance.now();
    try {
      const holders = leases.map((lease) => lease.holder);
      if (now - this.#renewedAt >= this.#options.leaseMs / 4) {
        this.#renewedAt = now;
        const expiresAt = Date.now() + this.#options.leaseMs;
        const renewed = await renewLeases(this.#db, holders, expiresAt);
        for (const lease of leases) if (renewed.has(lease.holder)) lease.validUntil = expiresAt;
      }
      const wanted = await wantedLeases(this.#db, holders);
      for (const lease of leases) {
        if (this.#held.get(lease.upload.id) !== lease) continue;
        const flag = wanted.get(lease.holder);
        if (flag !== false && !lease.returned) lease.end(flag ? 'wanted' : 'lost');
      }
    } catch (error) {
      this.#logger.warn({ err: error }, 'leases could not be renewed');
      for (const lease of leases) if (lease.validUntil <= Date.now()) lease.end('lost');
    } finally {
      this.#ticking = false;
    }
  }
}

const noop = (): void => undefined;

const pause = (ms: number): Promise<unknown> => sleep(ms, undefined, { ref: false });

const locked = (): AppError =>
  new AppError(423, 'locked', 'Another request is writing to this upload. Try again.', {
    headers: { 'Retry-After': '1' },
  });

const stopping = (): AppError =>
  new AppError(503, 'shutting_down', 'The server is restarting. Go on in a moment.', {
    headers: { 'Retry-After': '2', Connection: 'close' },
  });
