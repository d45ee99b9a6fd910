/** Cuts a stream of bytes into equal parts and stores several at a time; reports only what is stored without a gap. */

export interface StoredPart {
  number: number;
  size: number;
  etag: string;
}

export interface PartWriterOptions {
  partSize: number;
  /** Number of the first part. */
  firstNumber: number;
  /** Stores a part; resolves with its entity tag. */
  upload(number: number, bytes: Buffer): Promise<string>;
  /** Called one at a time, in the order of the parts, with those that no gap precedes. */
  commit(parts: StoredPart[]): Promise<void>;
  /** Something failed: stop feeding. */
  onFailure(): void;
}

/** Parts on their way to storage at the same time. */
export const IN_FLIGHT = 3;

interface Slot {
  number: number;
  size: number;
  etag?: string;
}

export class PartWriter {
  readonly #options: PartWriterOptions;
  #next: number;
  #chunks: Buffer[] = [];
  #fill = 0;
  /** Parts that are not committed, in order. */
  readonly #slots: Slot[] = [];
  readonly #uploads = new Set<Promise<void>>();
  #commits: Promise<void> = Promise.resolve();
  #failure: Error | undefined;
  /** A commit failed: what it was about is not known to the ledger. */
  #uncommitted = false;

  constructor(options: PartWriterOptions) {
    this.#options = options;
    this.#next = options.firstNumber;
  }

  /** Bytes taken so far. */
  written = 0;

  /** Bytes after the last whole part. */
  get fill(): number {
    return this.#fill;
  }

  /** No part was begun. */
  get untouched(): boolean {
    return this.#next === this.#options.firstNumber;
  }

  /** Takes bytes; waits while too many parts are on their way. Throws what storing a part failed with. */
  async write(chunks: Buffer[]): Promise<void> {
    for (let chunk of chunks) {
      this.written += chunk.length;
      while (this.#fill + chunk.length >= this.#options.partSize) {
        const room = this.#options.partSize - this.#fill;
        this.#push(chunk.subarray(0, room));
        chunk = chunk.subarray(room);
        await this.#send(this.take());
      }
      if (chunk.length) this.#push(chunk);
    }
  }

  /** The bytes after the last whole part, out of the writer. */
  take(): Buffer {
    const [only] = this.#chunks;
    const bytes = this.#chunks.length === 1 && only ? only : Buffer.concat(this.#chunks, this.#fill);
    this.#chunks = [];
    this.#fill = 0;
    return bytes;
  }

  /** Sends what is left as the last part, which may be small. */
  async flushLast(): Promise<void> {
    if (this.#fill) await this.#send(this.take());
  }

  /** Waits until every part is stored and committed. Throws, after the rest came to its end, when one was not. */
  async settle(): Promise<void> {
    await Promise.all(this.#uploads);
    await this.#commits;
    if (this.#failure) throw this.#failure;
  }

  #push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#fill += chunk.length;
  }

  async #send(bytes: Buffer): Promise<void> {
    while (this.#uploads.size >= IN_FLIGHT) await Promise.race(this.#uploads);
    if (this.#failure) throw this.#failure;
    const slot: Slot = { number: this.#next++, size: bytes.length };
    this.#slots.push(slot);
    const work: Promise<void> = this.#store(slot, bytes).finally(() => this.#uploads.delete(work));
    this.#uploads.add(work);
  }

  async #store(slot: Slot, bytes: Buffer): Promise<void> {
    try {
      slot.etag = await this.#options.upload(slot.number, bytes);
      this.#commits = this.#commits.then(() => this.#commitPrefix());
      await this.#commits;
    } catch (error) {
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
