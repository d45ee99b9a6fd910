/**
 * Room on the disk. DISK_FLOOR stays free, and with DISK_RESERVE so does what unfinished uploads were announced to
 * bring: whoever was let in finds its room. Answered with 507 before bytes are taken. Without end on S3.
 */
import { lockDisk, type Db, type Trx } from '../../db/dialect.ts';
import { statement } from '../../db/statement.ts';
import type { Context } from '../context.ts';
import { AppError } from '../errors.ts';

/** How long an answer about free room is good for. */
const FREE_FOR_MS = 250;
/** Claims that together take no more than this share of the room are let in on such an answer. */
const SMALL_SHARE = 1 / 100;

export class Room {
  readonly #ctx: Pick<Context, 'config' | 'db' | 'storage'>;
  /** Bytes free on the disk as of `#askedAt`, less those that were let in since. Times are by `performance.now()`, which nobody sets back. */
  #free = Infinity;
  #askedAt = -Infinity;
  #asking: Promise<void> | undefined;
  /** Bytes that small claims may still take until the next answer. */
  #small = 0;
  /** As many as they were when it came. */
  #share = 0;
  #smallAt = -Infinity;
  #counting: Promise<void> | undefined;

  constructor(ctx: Pick<Context, 'config' | 'db' | 'storage'>) {
    this.#ctx = ctx;
  }

  /**
   * Throws 507 when a request's bytes have no room. `announced`: they were claimed before, and only have to be really
   * free. Asks a few times a second, counts what is let in meanwhile, and refuses nobody without asking.
   */
  async assert(bytes: number, { announced }: { announced: boolean }): Promise<void> {
    if (!announced) await this.claim(this.#ctx.db, await this.look(bytes), bytes);
    if (isOld(this.#askedAt) || !this.#fits(this.#free, bytes)) await (this.#asking ??= this.#ask());
    if (!this.#fits(this.#free, bytes)) throw diskFull();
    this.#free -= bytes;
  }

  /**
   * What `claim` needs to know of the disk, asked before its transaction; undefined where there is no end of room, and
   * where `bytes` are a small share of it. Counting what all unfinished uploads lack takes long when there are many, so
   * small claims of a quarter of a second share one count. As each process lets in a hundredth of the room at most
   * before it counts again, dozens of them together don't take more than there is; a larger claim counts for itself.
   */
  async look(bytes: number): Promise<number | undefined> {
    const spent = bytes > this.#small && bytes <= this.#share;
    if (isOld(this.#smallAt) || spent) await (this.#counting ??= this.#count());
    if (bytes > this.#small) return this.#ctx.storage.freeBytes();
    this.#small -= bytes;
    return undefined;
  }

  /** Throws 507 when `bytes` that nobody knew of have no room. In a transaction, claims are counted one by one. */
  async claim(db: Db | Trx, free: number | undefined, bytes: number): Promise<void> {
    if (free === undefined) return;
    if (this.#reserves && db.isTransaction) await lockDisk(db);
    if (!this.#fits(free - (await this.#announcedIn(db)), bytes)) throw diskFull();
  }

  get #reserves(): boolean {
    return this.#ctx.config.uploads.diskReserve;
  }

  #fits(free: number, bytes: number): boolean {
    return free - bytes >= this.#ctx.config.uploads.diskFloor;
  }

  async #ask(): Promise<void> {
    try {
      this.#free = (await this.#ctx.storage.freeBytes()) ?? Infinity;
      this.#askedAt = performance.now();
    } finally {
      this.#asking = undefined;
    }
  }

  async #count(): Promise<void> {
    try {
      const free = (await this.#ctx.storage.freeBytes()) ?? Infinity;
      const announced = free === Infinity ? 0 : await this.#announcedIn(this.#ctx.db);
      this.#small = this.#share = (free - announced - this.#ctx.config.uploads.diskFloor) * SMALL_SHARE;
      this.#smallAt = performance.now();
    } finally {
      this.#counting = undefined;
    }
  }

  async #announcedIn(db: Db): Promise<number> {
    if (!this.#reserves) return 0;
    const [row] = await announcedBytes(db);
    return Number(row?.bytes ?? 0);
  }
}

const isOld = (askedAt: number): boolean => performance.now() - askedAt >= FREE_FOR_MS;

/**
 * What unfinished uploads were said to have beyond what came. A partial that a final took is copied into it once more,
 * but for the first, whose file goes on as the final's: no address, and so no space, stands before its own in Upload-Concat.
 * Of what is complete partials alone have a time to expire at, and both columns are an index.
 */
const announcedBytes = statement<{ bytes: number | string | null }>(
  () => `
    select sum("length" - "offset" + case when exists (
        select 1 from upload as final
        where final.id = upload.final_id and final.concat like 'final;% %' || upload.id || '%'
      ) then "length" else 0 end) as bytes
    from upload
    where state in ('receiving', 'assembling', 'complete') and expires_at > 0 and kind <> 'final'
      and "length" is not null`,
);

const diskFull = (): AppError =>
  new AppError(507, 'disk_full', 'The server has no room for this upload. Try again later.', {
    headers: { 'Retry-After': '60' },
  });
