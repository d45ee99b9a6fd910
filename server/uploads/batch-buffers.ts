/**
 * Batches of what request bodies bring: each write costs a trip to another thread, and a socket gives 64 KiB at a time.
 *
 * The pieces of a few bodies are written as they came. Those of many would wait so long that they outlive the collector's
 * young generation, which costs more than a copy: they are copied, as they arrive, into a bounded number of buffers that
 * are used again and again. A buffer is only ever held by a body whose bytes are in it: while it fills, which others may
 * cut short, and while it is written.
 */

/** Bytes of a batch of pieces. */
const PIECES = 1024 * 1024;
/** Of so few bodies the pieces are gone before the collector, which comes round every 32 MiB, has met them twice. */
const FEW = 16;
/** Bytes of a buffer, and buffers of a process. */
const SIZE = 512 * 1024;
const MOST = 32;
/** How long buffers that nobody uses are kept. */
const KEEP_MS = 10_000;

export class BatchBuffers {
  /** Bytes of each. */
  readonly size: number;
  readonly #most: number;
  readonly #few: number;
  readonly #spare: Buffer[] = [];
  /** Bodies that are being read. */
  #bodies = 0;
  /** Given out. */
  #used = 0;
  readonly #waiting = new Set<(buffer: Buffer) => void>();
  readonly #patient = new Set<() => void>();
  #idle: NodeJS.Timeout | undefined;

  constructor({ size = SIZE, most = MOST, few = FEW } = {}) {
    this.size = size;
    this.#most = most;
    this.#few = few;
  }

  /** A body is being read, until `exit`. */
  enter(): void {
    this.#bodies++;
  }

  exit(): void {
    this.#bodies--;
  }

  /** So many bodies are being read that they should use buffers. */
  get worthCopying(): boolean {
    return this.#bodies > this.#few;
  }

  /** Bytes that a batch should have. */
  get target(): number {
    return this.worthCopying ? this.size : PIECES;
  }

  /** Somebody waits for a buffer. */
  get scarce(): boolean {
    return this.#waiting.size > 0;
  }

  /** A buffer with anything in it; undefined when none is free. */
  take(): Buffer | undefined {
    if (this.#used >= this.#most) return undefined;
    this.#used++;
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(this.size);
  }

  /** Calls `got` with the next buffer that is free, in turn; who is patient is told that buffers are scarce now. */
  wait(got: (buffer: Buffer) => void): void {
    const { scarce } = this;
    this.#waiting.add(got);
    if (!scarce) for (const hurry of [...this.#patient]) hurry();
  }

  /** Not waiting any more. */
  leave(got: (buffer: Buffer) => void): void {
    this.#waiting.delete(got);
  }

  /** Somebody has a buffer that is not full, and waits for more bytes as long as nobody needs one: then `hurry` is called. */
  bePatient(hurry: () => void): void {
    this.#patient.add(hurry);
  }

  endPatience(hurry: () => void): void {
    this.#patient.delete(hurry);
  }

  /** For the next one. Only when nobody reads from it any more. */
  giveBack(buffer: Buffer): void {
    const [next] = this.#waiting;
    if (next) {
      this.#waiting.delete(next);
      next(buffer);
      return;
    }
    this.#used--;
    this.#spare.push(buffer);
    this.#idle ??= setTimeout(() => (this.#spare.length = 0), KEEP_MS).unref();
    this.#idle.refresh();
  }
}
