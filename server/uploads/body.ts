/** The bytes of a request, read straight from the socket's buffers. A slow store slows the client. */
import type { IncomingMessage } from 'node:http';
import type { AppError } from '../errors.ts';
import type { Batching } from './batching.ts';
import type { BodyEnd } from './body-end.ts';
import type { BodyDigest } from './digest.ts';
import type { LeaseEnd } from './ledger/leases.ts';
import { giveBack } from './memory.ts';

export interface BodyLimits {
  /** Bytes to take at most. */
  limit: number;
  /** Bytes at the beginning to pass over: they arrived before. */
  skip?: number;
  /** Milliseconds without a byte before giving up. */
  idleTimeoutMs: number;
  /** What the whole body was promised to be, what is passed over included. */
  digest?: BodyDigest | undefined;
  /** Stops reading; its reason is a `LeaseEnd`. */
  signal: AbortSignal;
  /** For a store that has to do the same for a few bytes as for many: how many to gather for it. */
  batching?: Batching | undefined;
}

/**
 * Stores pieces that follow each other, `bytes` in all, and says when that is done: then their memory is given back. May throw
 * instead.
 */
export type Take = (pieces: Buffer[], bytes: number, done: (error?: Error | null) => void) => void;

/** Bytes that wait, at least, before the client has to: while those before them are being stored. */
const WAITING = 64 * 1024;
/** The same for a store that needs no batches. */
const WAITING_UNBATCHED = 256 * 1024;
/** How long a slow client's bytes wait for a batch to fill. */
const PATIENCE_MS = 50;

export class RequestBody {
  /** Bytes handed out or waiting. */
  received = 0;
  /** Bytes still to be passed over. */
  toSkip: number;
  /** Why no more comes; undefined while reading. */
  end: BodyEnd | undefined;
  /** Why a body that came to its end is not what was promised. */
  failure: AppError | undefined;
  readonly #request: IncomingMessage;
  readonly #limits: BodyLimits;
  /** Who stores it, once it is read. */
  #drain: { take: Take; resolve: () => void; reject: (error: unknown) => void } | undefined;
  /** What came behind that which is being stored. */
  #pieces: Buffer[] = [];
  #waiting = 0;
  /** What is being stored. */
  #storing: Buffer[] | undefined;
  #opened = false;
  #idle: NodeJS.Timeout | undefined;
  #patience: NodeJS.Timeout | undefined;

  /** Nothing is read before `drain`. */
  constructor(request: IncomingMessage, limits: BodyLimits) {
    this.#request = request;
    this.#limits = limits;
    this.toSkip = limits.skip ?? 0;
  }

  /** The request says how many bytes come. */
  get isAnnounced(): boolean {
    return this.#request.headers['content-length'] !== undefined;
  }

  /** How many bytes come at most, those included that came. */
  get expected(): number {
    const announced = this.#request.headers['content-length'];
    const { limit, skip = 0 } = this.#limits;
    return announced === undefined ? limit : Math.min(limit, Math.max(0, Number(announced) - skip));
  }

  /** A digest was promised: nothing may be committed before the body came to its end, and nothing unless `kept`. */
  get tentative(): boolean {
    return this.#limits.digest !== undefined;
  }

  /** Once the body ended: what arrived may be committed. */
  get kept(): boolean {
    return !this.tentative || (this.end === 'complete' && !this.failure);
  }

  /**
   * Reads all that comes and has it stored, one batch at a time, while the next one gathers. Resolves when nothing more
   * comes and all that came is stored, and `end` says why. Rejects with what `take` failed with.
   */
  drain(take: Take): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#drain = { take, resolve, reject };
      this.#open();
      this.#offer();
    });
  }

  #open(): void {
    const request = this.#request;
    const { signal, batching, idleTimeoutMs } = this.#limits;
    if (this.end) return;
    this.#opened = true;
    batching?.enter();
    if (signal.aborted) return this.#onAbort();
    if (request.readableEnded) return this.#onEnd();
    if (request.destroyed) return this.#onCut();
    this.#idle = setTimeout(() => this.#onIdle(), idleTimeoutMs).unref();
    signal.addEventListener('abort', this.#onAbort);
    request.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onCut).on('error', this.#onCut);
    request.resume();
  }

  /** Hands out what waits when it is worth it, or all there will be. */
  #offer(): void {
    if (this.#storing || !this.#drain) return;
    if (this.#waiting === 0) {
      if (this.end) this.#drain.resolve();
    } else if (this.end || this.#waiting >= (this.#limits.batching?.target ?? 1)) this.#handOut();
    else this.#patience ??= setTimeout(() => this.#handOut(), PATIENCE_MS);
  }

  #handOut(): void {
    clearTimeout(this.#patience);
    this.#patience = undefined;
    const pieces = this.#pieces;
    const bytes = this.#waiting;
    this.#pieces = [];
    this.#waiting = 0;
    this.#storing = pieces;
    try {
      this.#drain?.take(pieces, bytes, this.#onStored);
    } catch (error) {
      this.#fail(error);
    }
  }

  readonly #onStored = (error?: Error | null): void => {
    if (error) return this.#fail(error);
    giveBack(this.#storing ?? []);
    this.#storing = undefined;
    this.#offer();
    if (this.end || !this.#request.isPaused()) return;
    this.#idle?.refresh(); // the silence so far was ours
    this.#request.resume();
  };

  /** What waits is dropped. */
  #fail(error: unknown): void {
    this.#drain?.reject(error);
    this.#drain = undefined;
    this.stop();
  }

  /** Stops reading, for whoever can't store any more. */
  stop(): void {
    this.#finish('stopped');
  }

  readonly #onData = (bytes: Buffer): void => {
    this.#limits.digest?.update(bytes);
    const chunk = this.toSkip > 0 ? this.#behindSkipped(bytes) : bytes;
    const room = this.#limits.limit - this.received;
    const kept = chunk.length <= room ? chunk : chunk.subarray(0, room);
    if (kept.length) {
      this.#pieces.push(kept);
      this.#waiting += kept.length;
      this.received += kept.length;
    }
    this.#idle?.refresh();
    if (kept !== chunk) return this.#finish('too_large');
    this.#offer();
    // While one batch is stored the next one fills up; then the client has to wait.
    if (this.#waiting >= this.#enough) this.#request.pause();
  };

  get #enough(): number {
    const { batching } = this.#limits;
    return batching ? Math.max(WAITING, batching.target) : WAITING_UNBATCHED;
  }

  #behindSkipped(bytes: Buffer): Buffer {
    const rest = bytes.subarray(this.toSkip);
    this.toSkip -= bytes.length - rest.length;
    return rest;
  }

  readonly #onEnd = (): void => {
    if (this.#limits.digest && !this.end) this.failure = this.#limits.digest.end(this.#request.trailers);
    this.#finish('complete');
  };
  readonly #onCut = (): void => this.#finish('cut');
  readonly #onAbort = (): void => this.#finish(this.#limits.signal.reason as LeaseEnd);

  #onIdle(): void {
    // While the store is the slow one, the silence is ours.
    if (this.#request.isPaused()) this.#idle?.refresh();
    else this.#finish('idle');
  }

  #finish(end: BodyEnd): void {
    if (this.end) return;
    this.end = end;
    clearTimeout(this.#idle);
    clearTimeout(this.#patience);
    this.#patience = undefined;
    if (this.#opened) this.#limits.batching?.exit();
    this.#limits.signal.removeEventListener('abort', this.#onAbort);
    const request = this.#request;
    request.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onCut);
    if (end !== 'complete') request.pause();
    this.#offer();
  }
}
