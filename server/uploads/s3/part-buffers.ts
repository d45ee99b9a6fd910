/**
 * Memory for the parts of uploads to S3: a bounded number of buffers over all requests of a process, shared out evenly
 * and used again. Whoever stores a part of 8 MiB in new memory each time pays more for pages and garbage than for bytes.
 */

/** Buffers of one request at most: one that fills and five on their way. */
export const MOST_PARTS = 6;
/** How long buffers that nobody uses are kept. */
const KEEP_MS = 10_000;

export class PartBuffers {
  readonly #memory: number;
  /** Only buffers of the usual size are kept. */
  readonly #size: number;
  readonly #spare: Buffer[] = [];
  #users = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `memory`: bytes that all buffers together may take, as long as that is one for each request. */
  constructor(memory: number, usualSize: number) {
    this.#memory = memory;
    this.#size = usualSize;
  }

  /** A request begins to store parts; `leave` when it ends. */
  join(): void {
    this.#users++;
    clearTimeout(this.#timer);
  }

  leave(): void {
    if (--this.#users > 0) return;
    this.#timer = setTimeout(() => (this.#spare.length = 0), KEEP_MS).unref();
  }

  /** How many buffers of `size` bytes a request may hold now: fewer the more requests there are, but one always. */
  share(size: number): number {
    return Math.max(1, Math.min(MOST_PARTS, Math.floor(this.#memory / size / this.#users)));
  }

  /** A buffer with anything in it. */
  take(size: number): Buffer {
    return (size === this.#size ? this.#spare.pop() : undefined) ?? Buffer.allocUnsafeSlow(size);
  }

  /** For the next one. Only when nobody can read from it any more: a request to S3 that was given up may. */
  giveBack(buffer: Buffer): void {
    const room = (this.#spare.length + 1) * this.#size <= this.#memory;
    if (buffer.length === this.#size && room) this.#spare.push(buffer);
  }
}
