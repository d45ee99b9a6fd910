/** Commits of a long body while it still arrives, so that a crash or a silent client leaves little uncommitted. */

const EVERY_MS = 1_000;
/** With many bodies they are rarer: each is a transaction, and all together make about fifty of them in a second. */
const EVERY_MS_PER_BODY = 20;
const EVERY_BYTES = 64 * 1024 * 1024;

/** Bodies of this process that are being stored. */
let open = 0;

/** Commits a position; told whether it is the last one. False: there was nothing to commit yet, and it is asked again. */
export type Save = (position: number, last: boolean) => Promise<boolean>;

/** Saves one position at a time, in the background; bytes keep flowing meanwhile. */
export class Checkpoints {
  readonly #save: Save;
  readonly #everyMs: number;
  #saved: number;
  /** What was to be saved last, whether or not it was. */
  #tried: number;
  #triedAt = performance.now();
  /** The newest position that was passed. */
  #latest: number;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #failure: Error | undefined;
  #ended = false;

  /** Each second, or after `mostMs` when those are less. */
  constructor(position: number, save: Save, mostMs = Infinity) {
    this.#saved = this.#tried = this.#latest = position;
    this.#save = save;
    this.#everyMs = Math.min(EVERY_MS, mostMs);
    open++;
  }

  /** Throws what an earlier commit failed with. */
  check(): void {
    if (this.#failure) throw this.#failure;
  }

  /** Bytes up to `position` are stored: they are committed soon. */
  pass(position: number): void {
    this.#latest = position;
    this.#schedule();
  }

  /** The last commit; to be called however the body ended. Throws when it or one before failed. */
  async end(position: number): Promise<void> {
    if (!this.#ended) open--;
    this.#ended = true;
    clearTimeout(this.#timer);
    await this.#running;
    this.check();
    if (position > this.#saved) await this.#run(position, true);
  }

  #schedule(): void {
    if (this.#running || this.#ended || this.#failure || this.#latest === this.#saved) return;
    const due = this.#latest - this.#tried >= EVERY_BYTES;
    const everyMs = Math.max(this.#everyMs, open * EVERY_MS_PER_BODY);
    const wait = due ? 0 : this.#triedAt + everyMs - performance.now();
    if (wait <= 0) this.#start();
    else this.#timer ??= setTimeout(() => this.#start(), wait);
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#running = this.#run(this.#latest)
      .catch((error: unknown) => void (this.#failure = error as Error))
      .finally(() => {
        this.#running = undefined;
        this.#schedule(); // for what came meanwhile
      });
  }

  async #run(position: number, last = false): Promise<void> {
    if (await this.#save(position, last)) this.#saved = position;
    this.#tried = position;
    this.#triedAt = performance.now();
  }
}
