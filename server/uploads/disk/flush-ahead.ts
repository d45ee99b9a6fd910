/**
 * Sends bytes of a file to the disk while more of them arrive, so that little is left to wait for when they are to be durable.
 * It promises nothing by itself: whoever needs them on the disk calls `flush`.
 */
import type { FileHandle } from 'node:fs/promises';

/** Less is not worth a trip to another thread, and the journal's commit that comes with it. */
const WORTH_IT = 512 * 1024;
/** Of all files of this process: each keeps one of Node's four threads for files busy, and others have to write. */
const AT_ONCE = 2;

let running = 0;

export class FlushAhead {
  readonly #file: FileHandle;
  #unflushed = 0;
  #running: Promise<void> | undefined;
  #failure: Error | undefined;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** So many bytes more were written. */
  wrote(bytes: number): void {
    this.#unflushed += bytes;
    if (this.#running || this.#unflushed < WORTH_IT || running >= AT_ONCE) return;
    this.#unflushed = 0;
    running++;
    this.#running = this.#file
      .datasync()
      .catch((error: unknown) => void (this.#failure ??= error as Error))
      .finally(() => {
        running--;
        this.#running = undefined;
      });
  }

  /**
   * Resolves when all that was written before the call is on the disk. Throws what this or an earlier flush failed with: the
   * system tells of bytes that could not be written only once.
   */
  async flush(): Promise<void> {
    await Promise.all([this.#file.datasync(), this.#running]);
    if (this.#failure) throw this.#failure;
  }

  /** Resolves when nothing is being flushed. */
  async settled(): Promise<void> {
    await this.#running;
  }
}
