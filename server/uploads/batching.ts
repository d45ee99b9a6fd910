/**
 * How many bytes of a body wait to be written at once. Each write costs a trip to another thread, and a socket gives
 * 64 KiB at a time; but what waits leaves the processor's caches, and must be fetched again to be written. Of a few
 * bodies a batch is worth it. Of many there is always a write to be made, and bytes go on as they come.
 */

/** Bytes of all batches together: what measured best on disks in memory. */
const TOGETHER = 2 * 1024 * 1024;
const MOST = 1024 * 1024;
const LEAST = 256 * 1024;

export class Batching {
  #bodies = 0;

  /** A body is being read, until `exit`. */
  enter(): void {
    this.#bodies++;
  }

  exit(): void {
    this.#bodies--;
  }

  /** Bytes that are worth a write; 1 when they all are. */
  get target(): number {
    const share = Math.min(MOST, TOGETHER / this.#bodies);
    return share < LEAST ? 1 : share;
  }
}
