/** The bytes of a request, read straight from the socket's buffers: nothing is copied, and a slow store slows the client. */
import type { IncomingMessage } from 'node:http';
import { AppError } from '../errors.ts';
import { LeaseLostError } from './ledger/ledger.ts';
import type { BodyDigest } from './digest.ts';
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
}

/** Bytes that a batch should have: each costs a trip to another thread, and a socket gives 64 KiB at a time. */
const BATCH = 1024 * 1024;
/** Batches are smaller when so many bodies arrive that together they would hold more than about twice this. */
const ALL_BATCHES = 16 * 1024 * 1024;
const SMALLEST_BATCH = 64 * 1024;
/** How long a slow client's bytes wait for a batch to fill. */
const PATIENCE_MS = 50;

/** Bodies of this process that are being read. */
let open = 0;

const batchSize = (): number => Math.max(SMALLEST_BATCH, Math.min(BATCH, ALL_BATCHES / open));

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
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #wake: (() => void) | undefined;
  #idle: NodeJS.Timeout;
  #patience: NodeJS.Timeout | undefined;
  #counted = false;

  constructor(request: IncomingMessage, limits: BodyLimits) {
    this.#request = request;
    this.#limits = limits;
    this.toSkip = limits.skip ?? 0;
    this.#idle = setTimeout(() => this.#onIdle(), limits.idleTimeoutMs).unref();
    if (request.readableEnded || request.destroyed) {
      if (request.readableEnded) this.#onEnd();
      else this.#finish('cut');
      return;
    }
    this.#counted = true;
    open++;
    request.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onCut).on('error', this.#onCut);
    limits.signal.addEventListener('abort', this.#onAbort);
    if (limits.signal.aborted) this.#onAbort();
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
   * What arrived since the last call, at least a byte, and a batch of it when it comes fast; undefined when nothing more
   * comes, and `end` says why.
   */
  async next(): Promise<Buffer[] | undefined> {
    // A batch may be empty: all that came in its time was to be passed over.
    if (!this.end && this.#waitingBytes < batchSize()) await this.#batch();
    while (!this.end && !this.#waiting.length) await this.#batch();
    if (!this.#waiting.length) return undefined;
    const chunks = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    if (!this.end) this.#request.resume();
    return chunks;
  }

  async #batch(): Promise<void> {
    this.#request.resume();
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (this.#waiting.length) this.#patience = setTimeout(resolve, PATIENCE_MS);
    });
    clearTimeout(this.#patience);
    this.#patience = this.#wake = undefined;
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
      this.#waiting.push(kept);
      this.#waitingBytes += kept.length;
      this.received += kept.length;
    }
    this.#idle.refresh();
    if (kept !== chunk) return this.#finish('too_large');
    // While one batch is stored the next one fills up; then the client has to wait.
    const batch = batchSize();
    if (!this.#wake) {
      if (this.#waitingBytes >= batch) this.#request.pause();
    } else if (this.#waitingBytes >= batch) this.#wake();
    else this.#patience ??= setTimeout(this.#wake, PATIENCE_MS);
  };

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
    if (this.#request.isPaused()) this.#idle.refresh();
    else this.#finish('idle');
  }

  #finish(end: BodyEnd): void {
    if (this.end) return;
    this.end = end;
    if (this.#counted) open--;
    clearTimeout(this.#idle);
    this.#limits.signal.removeEventListener('abort', this.#onAbort);
    const request = this.#request;
    request.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onCut);
    if (end !== 'complete') request.pause();
    this.#wake?.();
  }
}

/** Throws what a body that did not come to its end is answered with; on a cut connection nobody reads it. */
export function assertWhole({ end, failure }: RequestBody, uploadId: string): void {
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
