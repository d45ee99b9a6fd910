/** The bytes of a request, read straight from the socket's buffers. A slow store slows the client. */
import type { IncomingMessage } from 'node:http';
import type { AppError } from '../errors.ts';
import type { BatchBuffers } from './batch-buffers.ts';
import type { BodyEnd } from './body-end.ts';
import type { BodyDigest } from './digest.ts';
import type { LeaseEnd } from './ledger/leases.ts';

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
  /** Gathers what arrives in these, for a store that has to do the same for a few bytes as for many. */
  batches?: BatchBuffers | undefined;
}

/** Without batches: bytes that wait at most while what came before is being stored. */
const MOST_WAITING = 256 * 1024;
/** Of fewer bytes no batch is begun: whoever sends little at a time shall not need a buffer for it. */
const WORTH_BATCHING = 32 * 1024;
/** How long a slow client's bytes wait for a batch to fill. */
const PATIENCE_MS = 50;
/** The same while others wait for a buffer: about as long as it takes to read what the socket has. */
const SHORT_PATIENCE_MS = 3;
/** How long bytes wait for a buffer. Then they go on without. */
const ASKING_MS = 250;

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
  #entered = false;
  /** The batch that fills up. */
  #buffer: Buffer | undefined;
  #fill = 0;
  /** What came behind it, or before there was a buffer. */
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  /** The batch that was handed out last. */
  #lent: Buffer | undefined;
  /** The client waits until there is a buffer. */
  #asking = false;
  #wake: (() => void) | undefined;
  #idle: NodeJS.Timeout;
  #patience: NodeJS.Timeout | undefined;

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
    this.#entered = true;
    limits.batches?.enter();
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
   * comes, and `end` says why. Good until the next call, or `close`: then nobody may read from it any more.
   */
  async next(): Promise<Buffer[] | undefined> {
    this.#takeBack();
    if (!this.end && !this.#full) await this.#more();
    // It may have been for nothing: all that came in its time was to be passed over.
    while (!this.end && !this.#waitingBytes) await this.#more();
    if (!this.#waitingBytes) return undefined;
    const batch = this.#handOut();
    if (!this.end) {
      this.#gather();
      this.#resume();
    }
    return batch;
  }

  /** Gives back the memory of what came. After the last write, however that ended. */
  close(): void {
    this.stop();
    this.#takeBack();
    if (this.#buffer) this.#limits.batches?.giveBack(this.#buffer);
    this.#buffer = undefined;
    this.#fill = 0;
  }

  get #waitingBytes(): number {
    return this.#fill + this.#pieceBytes;
  }

  /** There is enough to be handed out, without waiting for more. */
  get #full(): boolean {
    const { batches } = this.#limits;
    return this.#waitingBytes >= (this.#buffer?.length ?? batches?.target ?? 1);
  }

  /** Waits for a full batch, for the end, or as long as patience lasts once something came. */
  async #more(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (this.#waitingBytes) this.#bePatient();
      this.#resume();
    });
    this.#endPatience();
    this.#wake = undefined;
  }

  /** Buffers became scarce. */
  readonly #hurry = (): void => {
    this.#endPatience();
    if (this.#wake) this.#bePatient();
  };

  #bePatient(): void {
    const { batches } = this.#limits;
    if (this.#patience || !batches) return;
    if (this.#buffer) batches.bePatient(this.#hurry);
    const ms = this.#asking ? ASKING_MS : this.#buffer && batches.scarce ? SHORT_PATIENCE_MS : PATIENCE_MS;
    this.#patience = setTimeout(() => this.#wake?.(), ms);
  }

  #endPatience(): void {
    this.#limits.batches?.endPatience(this.#hurry);
    clearTimeout(this.#patience);
    this.#patience = undefined;
  }

  #handOut(): Buffer[] {
    this.#stopAsking();
    if (this.#buffer) {
      const batch = this.#buffer.subarray(0, this.#fill);
      this.#lent = this.#buffer;
      this.#buffer = undefined;
      this.#fill = 0;
      return [batch];
    }
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#pieceBytes = 0;
    return pieces;
  }

  #takeBack(): void {
    if (this.#lent) this.#limits.batches?.giveBack(this.#lent);
    this.#lent = undefined;
  }

  /** Copies what came into the batch, if there is one, or is one to be had. */
  #gather(): void {
    const { batches } = this.#limits;
    if (!batches || this.#asking) return;
    if (!this.#buffer && this.#pieceBytes >= WORTH_BATCHING && batches.worthCopying) {
      this.#buffer = batches.take();
      this.#endPatience();
      if (!this.#buffer) {
        this.#asking = true;
        batches.wait(this.#onBuffer);
      }
    }
    const buffer = this.#buffer;
    if (!buffer) return;
    for (let piece; this.#fill < buffer.length && (piece = this.#pieces.shift());) {
      const copied = piece.copy(buffer, this.#fill);
      this.#fill += copied;
      this.#pieceBytes -= copied;
      if (copied < piece.length) this.#pieces.unshift(piece.subarray(copied));
    }
  }

  readonly #onBuffer = (buffer: Buffer): void => {
    this.#asking = false;
    this.#buffer = buffer;
    this.#gather();
    this.#endPatience();
    if (this.#wake) {
      if (this.#full) this.#wake();
      else this.#bePatient();
    }
    this.#resume();
  };

  #stopAsking(): void {
    if (this.#asking) this.#limits.batches?.leave(this.#onBuffer);
    this.#asking = false;
  }

  #resume(): void {
    if (this.end || this.#asking || !this.#request.isPaused()) return;
    this.#idle.refresh(); // the silence so far was ours
    this.#request.resume();
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
      this.#pieceBytes += kept.length;
      this.received += kept.length;
      this.#gather();
    }
    this.#idle.refresh();
    if (kept !== chunk) return this.#finish('too_large');
    if (this.#wake && this.#full) this.#wake();
    else if (this.#wake && this.#waitingBytes) this.#bePatient();
    // While one batch is stored the next one fills up; then the client has to wait.
    const enough = this.#limits.batches ? this.#full : this.#waitingBytes >= MOST_WAITING;
    if (this.#asking || (!this.#wake && enough)) this.#request.pause();
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
    clearTimeout(this.#idle);
    if (this.#entered) this.#limits.batches?.exit();
    this.#stopAsking();
    this.#limits.signal.removeEventListener('abort', this.#onAbort);
    const request = this.#request;
    request.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onCut);
    if (end !== 'complete') request.pause();
    this.#wake?.();
  }
}
