/**
 * Room on the disk. DISK_FLOOR stays free, and with DISK_RESERVE so does what unfinished uploads were announced to
 * bring: whoever was let in finds its room. Answered with 507 before bytes are taken. Without end on S3.
 */
import { sql } from 'kysely';
import { lockDisk, type Db, type Trx } from '../../db/dialect.ts';
import type { Context } from '../context.ts';
import { AppError } from '../errors.ts';

/** How long an answer about free room is good for. */
const FREE_FOR_MS = 250;

export class Room {
  readonly #ctx: Pick<Context, 'config' | 'db' | 'storage'>;
  /** Bytes free on the disk as of `#askedAt`, less those that were let in since. */
  #free = Infinity;
  /** Bytes that unfinished uploads still lack, as of then. */
  #announced = 0;
  #askedAt = 0;
  #asking: Promise<void> | undefined;

  constructor(ctx: Pick<Context, 'config' | 'db' | 'storage'>) {
    this.#ctx = ctx;
  }

  /**
   * Throws 507 when a request's bytes have no room. `announced`: they were claimed before, and only have to be really
   * free. Asks a few times a second, counts what is let in meanwhile, and refuses nobody without asking.
   */
  async assert(bytes: number, { announced }: { announced: boolean }): Promise<void> {
    const fits = (): boolean => this.#fits(this.#free - (announced ? 0 : this.#announced), bytes);
    if (Date.now() - this.#askedAt >= FREE_FOR_MS || !fits()) await (this.#asking ??= this.#ask());
    if (!fits()) throw diskFull();
    this.#free -= bytes;
  }

  /** What `claim` needs to know, asked before its transaction; undefined where there is no end of room. */
  free(): Promise<number | undefined> {
    return this.#ctx.storage.freeBytes();
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
      const free = await this.free();
      this.#announced = free === undefined ? 0 : await this.#announcedIn(this.#ctx.db);
      this.#free = free ?? Infinity;
      this.#askedAt = Date.now();
    } finally {
      this.#asking = undefined;
    }
  }

  async #announcedIn(db: Db): Promise<number> {
    return this.#reserves ? announcedBytes(db) : 0;
  }
}

/** What unfinished uploads were said to have beyond what came. A partial that a final took is copied into it once more. */
async function announcedBytes(db: Db): Promise<number> {
  const row = await db
    .selectFrom('upload')
    .select(
      sql<
        number | string | null
      >`sum(case when final_id is null then 0 else "length" end + "length" - "offset")`.as('bytes'),
    )
    .where('state', 'in', ['receiving', 'assembling', 'complete'])
    .where('expiresAt', '>', 0) // of what is complete partials alone; both are an index
    .where('kind', '!=', 'final')
    .where('length', 'is not', null)
    .executeTakeFirst();
  return Number(row?.bytes ?? 0);
}

const diskFull = (): AppError =>
  new AppError(507, 'disk_full', 'The server has no room for this upload. Try again later.', {
    headers: { 'Retry-After': '60' },
  });
