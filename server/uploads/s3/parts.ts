/** Stores the parts of uploads under their leases, and copies of them for those who read along. */
import type { Db } from '../../../db/dialect.ts';
import type { UploadRow } from '../../../db/schema.ts';
import type { S3Storage } from '../../storage/s3.ts';
import type { Logger } from '../../telemetry.ts';
import type { UploadHooks } from '../hooks.ts';
import type { Lease } from '../ledger/leases.ts';
import type { Multipart } from './multipart.ts';
import { MOST_PARTS } from './part-buffers.ts';
import { partCopy } from './part-copies.ts';
import type { ComingBytes } from './part-stream.ts';

export interface PartsContext {
  db: Db;
  logger: Logger;
  storage: S3Storage;
  multipart: Multipart;
  readers: Pick<UploadHooks, 'isFollowed'>;
}

export class Parts {
  readonly #ctx: PartsContext;

  constructor(ctx: PartsContext) {
    this.#ctx = ctx;
  }

  /**
   * The number of the part behind part `last`. A holder that is only paused may still have parts on their way, behind others that
   * it never committed.
   */
  async nextNumber({ upload, usurped }: Lease, last: number): Promise<number> {
    if (!usurped || upload.storageId === null) return last + 1;
    const { multipart } = this.#ctx;
    return (await multipart.lastNumber(upload.key, upload.storageId, last)) + 1 + MOST_PARTS;
  }

  /**
   * Stores a part, unless `streamed` resolves with its entity tag: then it is. Resolves when nobody reads the bytes any
   * more, unless it was `retried`. Throws `LeaseLostError`.
   */
  async upload(
    lease: Lease,
    number: number,
    bytes: Buffer,
    streamed?: Promise<string | undefined>,
  ): Promise<{ etag: string; retried: boolean }> {
    lease.check();
    const copying = this.#copy(lease.upload, number, bytes);
    const part = await this.#store(lease, number, bytes, streamed).finally(() => copying);
    return { ...part, retried: part.retried || (await copying) };
  }

  /** Stores a part of bytes that still come, in one attempt. Resolves with its entity tag. Throws `LeaseLostError`. */
  async stream(lease: Lease, number: number, part: ComingBytes): Promise<string> {
    const { key, storageId } = lease.upload;
    lease.check();
    return this.#ctx.multipart.stream(key, storageId ?? '', number, part);
  }

  async #store(
    lease: Lease,
    number: number,
    bytes: Buffer,
    streamed: Promise<string | undefined> | undefined,
  ): Promise<{ etag: string; retried: boolean }> {
    const etag = await streamed;
    if (etag !== undefined) return { etag, retried: false };
    const { key, storageId } = lease.upload;
    lease.check();
    return this.#ctx.multipart.upload(key, storageId ?? '', number, bytes);
  }

  /**
   * Beside the part: before the ledger knows of it, or never. Without it the upload is read when it is whole. Resolves
   * with whether it was tried.
   */
  async #copy(upload: UploadRow, number: number, bytes: Buffer): Promise<boolean> {
    const { db, logger, storage, readers } = this.#ctx;
    try {
      if (!(await readers.isFollowed(db, upload))) return false;
      await storage.put(partCopy(upload.id, number), bytes);
    } catch (error) {
      logger.warn({ err: error, upload: upload.id }, 'an upload can not be read while it arrives');
    }
    return true;
  }
}
