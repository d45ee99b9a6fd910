/**
 * A part that is sent to S3 while its last bytes still arrive, so that it is stored soon after them, not a whole call later.
 * It is an attempt and nothing more: all bytes are gathered as without it, and when it fails they are stored from memory,
 * as often as that takes. S3 is told the size of the part beforehand and stores none that ends early.
 */
import { Readable } from 'node:stream';

/** Bytes that still come: `size` of them, unless `signal` ends it. */
export interface ComingBytes {
  body: Readable;
  size: number;
  signal: AbortSignal;
}

export interface FillingPart {
  /** As long as the part will be; filled from its beginning on. */
  bytes: Buffer;
  /** Bytes at its beginning that don't come from the client. */
  headSize: number;
  /** Resolves when the part may be stored, and its head is in its place. */
  ready(): Promise<unknown>;
  /** Sends the part, once; resolves with its entity tag. */
  send(part: ComingBytes): Promise<string>;
}

/** Bytes that tell how fast a client is: more than what the system had gathered of them before anybody read. */
const ENOUGH_TO_TELL = 512 * 1024;
/**
 * Within so many milliseconds the rest has to be expected, at the rate of what came. A call to S3 takes a tenth of a second or
 * so: begun earlier it would not end earlier, and would only keep a connection.
 */
const SOON_MS = 500;
/** A client that turns out slower keeps no connection to S3 for longer. (S3 itself closes silent ones after some 20 s.) */
const PATIENCE_MS = 1_000;

export class PartStream {
  readonly #part: FillingPart;
  readonly #since = performance.now();
  readonly #stop = new AbortController();
  #fill: number;
  #sent = 0;
  #body: Readable | undefined;
  #isWaiting = false;
  #attempt: Promise<string | undefined> | undefined;
  #patience: NodeJS.Timeout | undefined;

  constructor(part: FillingPart) {
    this.#part = part;
    this.#fill = part.headSize;
  }

  /** A request may be reading the bytes. */
  isReading = false;

  /** The part is filled up to here. */
  grow(fill: number): void {
    this.#fill = fill;
    if (this.#attempt) {
      if (this.#isWaiting) this.#push();
    } else if (this.#isSoonFull()) this.#attempt = this.#try();
  }

  /**
   * Nothing more comes. Resolves, when S3 stores nothing any more, with the entity tag of the part; with undefined when it
   * has to be stored from memory.
   */
  async end(): Promise<string | undefined> {
    clearTimeout(this.#patience);
    if (this.#rest > 0) this.#giveUp();
    return this.#attempt;
  }

  get #rest(): number {
    return this.#part.bytes.length - this.#fill;
  }

  #isSoonFull(): boolean {
    const came = this.#fill - this.#part.headSize;
    const expectedMs = (this.#rest / came) * (performance.now() - this.#since);
    return this.#rest > 0 && came >= ENOUGH_TO_TELL && expectedMs <= SOON_MS;
  }

  /** Whatever fails is done again from memory, and reported if it fails there. */
  async #try(): Promise<string | undefined> {
    const { bytes, ready, send } = this.#part;
    const { signal } = this.#stop;
    try {
      await ready();
      // A part that became full meanwhile is sent from memory, which can be repeated.
      if (this.#rest === 0 || signal.aborted) return undefined;
      this.isReading = true;
      this.#patience = setTimeout(() => this.#giveUp(), PATIENCE_MS).unref();
      this.#body = new Readable({ read: () => this.#push() });
      const etag = await send({ body: this.#body, size: bytes.length, signal });
      this.isReading = false;
      return etag;
    } catch {
      this.#giveUp();
      return undefined;
    }
  }

  #giveUp(): void {
    clearTimeout(this.#patience);
    this.#stop.abort();
    this.#body?.destroy();
  }

  #push(): void {
    const { bytes } = this.#part;
    this.#isWaiting = this.#sent === this.#fill;
    if (this.#isWaiting) return;
    const more = bytes.subarray(this.#sent, this.#fill);
    this.#sent = this.#fill;
    this.#body?.push(more);
    if (this.#sent === bytes.length) this.#body?.push(null);
  }
}
