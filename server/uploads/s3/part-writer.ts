/** Cuts a stream of bytes into equal parts and stores several at a time; reports only what is stored without a gap. */
import type { PartBuffers } from './part-buffers.ts';
import { PartStream, type ComingBytes } from './part-stream.ts';

export interface StoredPart {
  number: number;
  size: number;
  etag: string;
}

export interface PartWriterOptions {
  partSize: number;
  /** Number of the first part. */
  firstNumber: number;
  /** Bytes at the beginning of the first part that were stored before. */
  headSize: number;
  /** How many bytes will be written at most. */
  expected: number;
  buffers: PartBuffers;
  /** Reads the `headSize` bytes back. */
  readHead(into: Buffer): Promise<void>;
  /** Does what has to be done once before a part can be stored. */
  begin(): Promise<void>;
  /**
   * Stores a part, unless `streamed` resolves with its entity tag: then it is. `retried` when an earlier attempt may still be
   * reading the bytes.
   */
  upload(
    number: number,
    bytes: Buffer,
    streamed: Promise<string | undefined> | undefined,
  ): Promise<{ etag: string; retried: boolean }>;
  /** Stores a part of bytes that still come, in one attempt. Absent: no part is sent before it is full. */
  stream?: ((number: number, part: ComingBytes) => Promise<string>) | undefined;
  /** The last of the expected bytes end a part, however small it is. */
  lastEnds: boolean;
  /** Called one at a time, in the order of the parts, with those that no gap precedes. */
  commit(parts: StoredPart[]): Promise<void>;
  /** Something failed: stop feeding. */
  onFailure(): void;
}

interface Slot {
  number: number;
  size: number;
  etag?: string;
}

export class PartWriter {
  readonly #options: PartWriterOptions;
  #next: number;
  #buffer: Buffer | undefined;
  /** Sends the part that fills. */
  #stream: PartStream | undefined;
  #fill: number;
  #head: Promise<void> | undefined;
  #begun: Promise<void> | undefined;
  /** Parts that are not committed, in order. */
  readonly #slots: Slot[] = [];
  readonly #uploads = new Set<Promise<void>>();
  #commits: Promise<void> = Promise.resolve();
  #failure: Error | undefined;
  /** A commit failed: what it was about is not known to the ledger. */
  #uncommitted = false;

  /** To be closed. */
  constructor(options: PartWriterOptions) {
    this.#options = options;
    this.#next = options.firstNumber;
    this.#fill = options.headSize;
    options.buffers.join();
  }

  /** Bytes taken so far. */
  written = 0;

  /** Bytes after the last whole part, those of the head included. */
  get fill(): number {
    return this.#fill;
  }

  get partSize(): number {
    return this.#options.partSize;
  }

  /** Of the bytes before `fill`, those that were not written: they come of the tail, at the beginning of the first part. */
  get headSize(): number {
    return this.untouched ? this.#options.headSize : 0;
  }

  /** Parts are on their way, or stored but not committed. */
  get hasUncommitted(): boolean {
    return this.#slots.length > 0;
  }

  /** Copies what was written into the part that is not full, from this place in it on: the writer uses its memory again. */
  copyFrom(start: number): Buffer {
    if (start < this.headSize) throw new Error('these bytes were not written here');
    return Buffer.from(this.#buffer?.subarray(start, this.#fill) ?? []);
  }

  /** No part was sent. */
  get untouched(): boolean {
    return this.#next === this.#options.firstNumber;
  }

  /** A part will be stored unless the bytes stop: what it needs can be done while they arrive. */
  prepare(): void {
    this.fetchHead();
    this.#begun = quiet(this.#options.begin());
  }

  /** The bytes before the first that is written will be needed. */
  fetchHead(): void {
    if (this.untouched && this.#options.headSize) void this.#readHead((this.#buffer ??= this.#open()));
  }

  /** Takes bytes; waits while too many parts are on their way. Throws what storing a part failed with. */
  async write(chunks: Buffer[]): Promise<void> {
    for (const chunk of chunks)
      for (let from = 0; from < chunk.length;) {
        const buffer = (this.#buffer ??= await this.#emptyBuffer());
        const copied = chunk.copy(buffer, this.#fill, from);
        if (copied === 0) throw new Error('more bytes came than were announced');
        from += copied;
        this.#fill += copied;
        this.written += copied;
        if (this.#fill === this.#options.partSize) this.#send();
      }
    this.#stream?.grow(this.#fill);
  }

  /**
   * The bytes after the last whole part, out of the writer: what was written, behind room for those of the head, which
   * are there when `withHead`.
   */
  async take(withHead: boolean): Promise<Buffer> {
    const buffer = this.#buffer;
    if (!buffer) throw new Error('there is nothing to take');
    await this.#stream?.end();
    if (withHead && this.untouched) await this.#readHead(buffer);
    else await settled(this.#head);
    const bytes = buffer.subarray(0, this.#fill);
    this.#buffer = undefined;
    this.#fill = 0;
    return bytes;
  }

  /** Sends what is left as the last part, which may be small. */
  flushLast(): void {
    if (this.#fill) this.#send();
  }

  /** Waits until every part is stored and committed. Throws, after the rest came to its end, when one was not. */
  async settle(): Promise<void> {
    await settled(this.#begun);
    await Promise.all(this.#uploads);
    await this.#commits;
    if (this.#failure) throw this.#failure;
  }

  /** After `settle`. */
  async close(): Promise<void> {
    await settled(this.#head);
    await this.#stream?.end();
    if (this.#buffer && !this.#stream?.isReading) this.#options.buffers.giveBack(this.#buffer);
    this.#buffer = undefined;
    this.#options.buffers.leave();
  }

  /** A buffer for the next part, as long as that will be when all comes that is expected. */
  #open(): Buffer {
    const { buffers, partSize, expected, stream, lastEnds } = this.#options;
    const number = this.#next;
    const size = Math.min(partSize, this.#fill + expected - this.written);
    const bytes = buffers.take(size);
    if (stream && (size === partSize || lastEnds))
      this.#stream = new PartStream({
        ...{ bytes, headSize: this.headSize },
        ready: () => this.#ready(number, bytes),
        send: (part) => stream(number, part),
      });
    return bytes;
  }

  async #emptyBuffer(): Promise<Buffer> {
    const { buffers, partSize } = this.#options;
    while (this.#uploads.size >= buffers.share(partSize)) await Promise.race(this.#uploads);
    if (this.#failure) throw this.#failure;
    return this.#open();
  }

  #readHead(buffer: Buffer): Promise<void> {
    const { headSize, readHead } = this.#options;
    return (this.#head ??= headSize ? quiet(readHead(buffer.subarray(0, headSize))) : Promise.resolve());
  }

  #send(): void {
    const buffer = this.#buffer;
    if (!buffer) throw new Error('there is nothing to send');
    const slot: Slot = { number: this.#next++, size: this.#fill };
    const stream = this.#stream;
    stream?.grow(this.#fill);
    this.#buffer = this.#stream = undefined;
    this.#fill = 0;
    this.#slots.push(slot);
    const work: Promise<void> = this.#store(slot, buffer, stream).finally(() => this.#uploads.delete(work));
    this.#uploads.add(work);
  }

  /** Part `number` may be stored, and the bytes before the first that was written are in their place. */
  #ready(number: number, buffer: Buffer): Promise<unknown> {
    const { firstNumber, begin } = this.#options;
    return Promise.all([
      (this.#begun ??= begin()),
      number === firstNumber ? this.#readHead(buffer) : undefined,
    ]);
  }

  async #store(slot: Slot, buffer: Buffer, stream: PartStream | undefined): Promise<void> {
    const { buffers, upload } = this.#options;
    try {
      await this.#ready(slot.number, buffer);
      const { etag, retried } = await upload(slot.number, buffer.subarray(0, slot.size), stream?.end());
      slot.etag = etag;
      if (!retried && !stream?.isReading) buffers.giveBack(buffer);
      this.#commits = this.#commits.then(() => this.#commitPrefix());
      await this.#commits;
    } catch (error) {
      await stream?.end();
      this.#fail(error);
    }
  }

  async #commitPrefix(): Promise<void> {
    const stored: StoredPart[] = [];
    for (const { number, size, etag } of this.#slots) {
      if (etag === undefined) break;
      stored.push({ number, size, etag });
    }
    // A later part that failed takes nothing from those before it; a commit that failed ends them all.
    if (!stored.length || this.#uncommitted) return;
    try {
      await this.#options.commit(stored);
      this.#slots.splice(0, stored.length);
    } catch (error) {
      this.#uncommitted = true;
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= error as Error;
    this.#options.onFailure();
  }
}

/** What fails before anybody waits for it is told to whoever does. */
function quiet<T>(work: Promise<T>): Promise<T> {
  work.catch(() => undefined);
  return work;
}

const settled = async (work: Promise<unknown> | undefined): Promise<void> =>
  void (await Promise.allSettled([work]));
