/**
 * Commits what came of a part before the part is full, as pieces of the tail: at the pace of a slow client a part takes long. Those who
 * read the upload while it arrives would miss all of it, and a crash would lose it. What comes quickly is committed in parts alone.
 */
import type { Logger } from '../../telemetry.ts';
import { Checkpoints } from '../checkpoints.ts';
import type { Lease } from '../ledger/leases.ts';
import { LeaseLostError, type LedgerChanges } from '../ledger/ledger.ts';
import type { Turns } from '../turns.ts';
import type { PartWriter } from './part-writer.ts';
import { piecesOf, tailOf, type Tails } from './tail.ts';

/** Pieces of a part, at most: they are a list in the upload's row, and objects that are deleted when the part is stored. */
const PIECES_OF_A_PART = 64;
/** Memory for pieces on their way, of all uploads of this process: while S3 is slow, the others wait in their parts. */
const MOST_ON_THEIR_WAY = 64 * 1024 * 1024;

let onTheirWay = 0;

export interface TailCheckpointsOptions {
  lease: Lease;
  writer: PartWriter;
  tails: Tails;
  logger: Logger;
  /** Milliseconds after which what nobody reads along is committed. */
  everyMs: number;
  /** Whether somebody reads the upload while it arrives. */
  isFollowed(): Promise<boolean>;
  /** In which all commits of the request are made. */
  turns: Turns;
  save(changes: LedgerChanges): Promise<void>;
}

export class TailCheckpoints {
  readonly #options: TailCheckpointsOptions;
  readonly #checkpoints: Checkpoints;
  readonly #ending = new AbortController();
  #committedAt = performance.now();

  /** To be ended before the writer is closed. */
  constructor(options: TailCheckpointsOptions) {
    this.#options = options;
    this.#checkpoints = new Checkpoints(0, () => this.#save(), options.everyMs);
  }

  /** The writer took bytes. */
  pass(): void {
    this.#checkpoints.pass(this.#options.writer.written);
  }

  /** Parts were committed. */
  moved(): void {
    this.#committedAt = performance.now();
  }

  /** No more of them. What is left is the caller's, who need not wait for a piece that is on its way. */
  end(): Promise<void> {
    this.#ending.abort();
    return this.#checkpoints.end(0);
  }

  /** What fails stays in the writer, and is committed later, or reported, with the rest. */
  async #save(): Promise<boolean> {
    const { lease, logger, turns } = this.#options;
    try {
      return (await this.#isDue()) && (await turns.take(() => this.#store()));
    } catch (error) {
      if (!(error instanceof LeaseLostError || this.#ending.signal.aborted))
        logger.warn({ err: error, upload: lease.upload.id }, 'a part is not committed before it is full');
      return false;
    }
  }

  async #isDue(): Promise<boolean> {
    const { everyMs, isFollowed } = this.#options;
    return performance.now() - this.#committedAt >= everyMs || isFollowed();
  }

  async #store(): Promise<boolean> {
    const { lease, writer, tails, save } = this.#options;
    const { id, epoch, offset, tailSize, length } = lease.upload;
    // Behind a part that is on its way nothing can be promised. The last byte is committed when the body ends.
    const size = writer.fill - tailSize;
    if (this.#ending.signal.aborted || writer.hasUncommitted || size < writer.partSize / PIECES_OF_A_PART)
      return false;
    const reached = offset + size;
    if (reached === length || (onTheirWay && onTheirWay + size > MOST_ON_THEIR_WAY)) return false;
    lease.check();
    onTheirWay += size;
    try {
      const bytes = writer.copyFrom(tailSize);
      const piece = await tails.write({ id, epoch, end: reached }, bytes, 0, this.#ending.signal);
      await save({ offset: reached, ...tailOf([...piecesOf(lease.upload), piece]) });
    } finally {
      onTheirWay -= size;
    }
    this.moved();
    return true;
  }
}
