/**
 * Uploads on S3: whole parts go into a multipart upload of the object itself, the bytes after them into a small tail
 * object `incoming/{id}/{epoch}`. The ledger's offset is the sum of its contiguous parts and its tail. While somebody
 * reads an upload as it arrives, its parts are stored twice (part-copies.ts).
 */
import type { UploadRow } from '../../db/schema.ts';
import { buffer } from 'node:stream/consumers';
import type { S3Storage } from '../storage/s3.ts';
import type { RequestBody } from './body.ts';
import type { UploadHooks } from './hooks.ts';
import type { Lease, Leases } from './leases.ts';
import { outerParts, partsOf, type LedgerChanges } from './ledger.ts';
import { partSizeFor } from './part-size.ts';
import { INCOMING, partCopies, partCopy } from './part-copies.ts';
import { joinObjects } from './s3-concat.ts';
import { IN_FLIGHT, PartWriter, type StoredPart } from './part-writer.ts';
import { Multipart } from './multipart.ts';
import { LedgerStore, PARTIALS, type StoreContext } from './store.ts';

/** Listing a bucket costs money: not every minute. */
const STRAYS_EVERY_MS = 60 * 60 * 1000;

export class S3Store extends LedgerStore {
  readonly #storage: S3Storage;
  readonly #multipart: Multipart;
  readonly #readers: Pick<UploadHooks, 'mayFollow' | 'isFollowed'>;
  #strayAt = 0;

  constructor(ctx: StoreContext, hooks: UploadHooks, leases: Leases, storage: S3Storage) {
    super(ctx, hooks, leases);
    this.#storage = storage;
    this.#multipart = new Multipart(storage);
    this.#readers = hooks;
  }

  protected override async append(lease: Lease, body: RequestBody): Promise<void> {
    const before = lease.upload.offset - lease.upload.tailSize;
    // Of a tentative body, what is stored waits here until all of it is.
    const waiting: StoredPart[] = [];
    const commit = async (parts: StoredPart[]): Promise<void> => {
      if (body.tentative) waiting.push(...parts);
      else await this.#commitParts(lease, parts);
    };
    const writer = await this.#openWriter(lease, () => body.stop(), commit);
    try {
      for (let chunks; (chunks = await body.next());) {
        lease.check();
        await writer.write(chunks);
      }
    } catch (error) {
      body.stop();
      await writer.settle();
      throw error;
    }
    // What a digest disproved is no part of the ledger: the next parts take its numbers.
    if (body.kept) await this.#flush(lease, writer, before + writer.written, waiting);
    else await writer.settle();
  }

  protected override async concatenate(lease: Lease, partials: UploadRow[]): Promise<void> {
    const { id, key, length } = lease.upload;
    if (length === 0 || (await partsOf(this.ctx.db, id)).length) return; // nothing to do, or done before
    // Some buckets tag the same bytes differently each time: a holder that is only paused keeps its own attempt.
    if (lease.upload.storageId !== null) await this.#multipart.abort(key, lease.upload.storageId);
    const uploadId = await this.#multipart.create(key);
    await this.save(lease, { storageId: uploadId });
    const parts = await joinObjects({
      ...{ storage: this.#storage, multipart: this.#multipart, key, uploadId },
      sources: partials.map((partial) => ({ key: partial.key, length: partial.offset })),
      partSize: this.ctx.config.uploads.partSize,
      check: () => lease.check(),
    });
    await this.save(lease, { parts });
  }

  protected override async assemble(upload: UploadRow): Promise<void> {
    const { id, key, length, storageId, tailKey } = upload;
    if (storageId !== null) {
      const parts = await partsOf(this.ctx.db, id);
      await this.#multipart.complete(key, storageId, parts).catch(async (error: unknown) => {
        // The answer may be what got lost, now or before a crash: the object says.
        if ((await this.#storage.stat(key))?.size !== length) throw error;
      });
    } else if (tailKey !== null)
      await this.#storage.copy(tailKey, key).catch(async (error: unknown) => {
        if ((await this.#storage.stat(key))?.size !== length) throw error;
      });
    else if (length === 0) await this.#storage.put(key, '');
    const size = (await this.#storage.stat(key))?.size;
    if (size !== length)
      throw new Error(
        `upload ${id} should have ${length} bytes, but ${size ?? 'no object'} is in the bucket`,
      );
  }

  override async finish(lease: Lease): Promise<void> {
    await super.finish(lease);
    await this.#deleteTail(lease.upload);
    if (this.#readers.mayFollow(lease.upload)) await this.#deleteCopies(lease.upload.id);
  }

  override async discardBytes({ id, key }: UploadRow): Promise<void> {
    for (const { uploadId } of await this.#multipart.list(key)) await this.#multipart.abort(key, uploadId);
    await this.#storage.deletePrefix(`${INCOMING}${id}/`);
    await this.#storage.delete(key);
  }

  /** Only what belongs to an upload that the ledger knows: others may share the bucket. */
  override async removeStrays(): Promise<void> {
    if (Date.now() - this.#strayAt < STRAYS_EVERY_MS) return;
    this.#strayAt = Date.now();
    const begun = [...(await this.#multipart.list('media/')), ...(await this.#multipart.list(PARTIALS))];
    for (const { key, uploadId, initiatedAt } of begun) {
      const row = this.#isOld(initiatedAt) && (await this.#rowOf(key.split('/')[1]));
      if (row && row.key === key && !(isUnfinished(row) && row.storageId === uploadId))
        await this.#multipart.abort(key, uploadId);
    }
    for await (const { key, modifiedAt } of this.#storage.list(INCOMING)) {
      const row = this.#isOld(modifiedAt) && (await this.#rowOf(key.split('/')[1]));
      if (row && !(isUnfinished(row) && (await this.#isNeeded(row, key)))) await this.#storage.delete(key);
    }
  }

  /** A writer that goes on after the last part, and holds the tail's bytes already. */
  async #openWriter(
    lease: Lease,
    onFailure: () => void,
    commit: (parts: StoredPart[]) => Promise<void>,
  ): Promise<PartWriter> {
    const { upload } = lease;
    const { first, last } = await outerParts(this.ctx.db, upload.id);
    const { maxSize, partSize } = this.ctx.config.uploads;
    let begun: Promise<string> | undefined;
    const writer = new PartWriter({
      partSize: first?.size ?? partSizeFor(upload.length ?? maxSize, partSize),
      firstNumber: await this.#nextNumber(lease, last?.number ?? 0),
      upload: async (number, bytes) => {
        const storageId = await (begun ??= this.#begin(lease));
        lease.check();
        const copied = this.#copyPart(lease.upload, number, bytes);
        return this.#multipart.upload(upload.key, storageId, number, bytes).finally(() => copied);
      },
      commit,
      onFailure,
    });
    if (upload.tailKey) await writer.write([await this.#readTail(upload)]);
    return writer;
  }

  /** A holder that is only paused may still have parts on their way, behind others that it never committed. */
  async #nextNumber({ upload, usurped }: Lease, last: number): Promise<number> {
    if (!usurped || upload.storageId === null) return last + 1;
    return (await this.#multipart.lastNumber(upload.key, upload.storageId, last)) + 1 + IN_FLIGHT;
  }

  async #begin(lease: Lease): Promise<string> {
    if (lease.upload.storageId !== null) return lease.upload.storageId;
    const storageId = await this.#multipart.create(lease.upload.key);
    await this.save(lease, { storageId });
    return storageId;
  }

  /** The first of these parts begins with the tail's bytes. */
  async #commitParts(lease: Lease, parts: StoredPart[]): Promise<void> {
    const { offset, tailSize } = lease.upload;
    const size = parts.reduce((sum, part) => sum + part.size, 0);
    await this.#moveOn(lease, { offset: offset - tailSize + size, parts, tailKey: null, tailSize: 0 });
  }

  /**
   * Stores what follows the last whole part: as last part, or as the new tail. So does an upload that is smaller than a
   * part: nobody else writes under its tail's name, while a PUT of the object itself by a holder that was paused
   * could still arrive when others had gone on, or had deleted it.
   */
  async #flush(lease: Lease, writer: PartWriter, received: number, waiting: StoredPart[]): Promise<void> {
    lease.check();
    const inOneTail = writer.untouched && lease.upload.storageId === null;
    if (received === lease.upload.length && !inOneTail) await writer.flushLast();
    await writer.settle();
    if (waiting.length) await this.#commitParts(lease, waiting);
    if (writer.fill > lease.upload.tailSize) await this.#writeTail(lease, writer.take());
  }

  async #readTail({ id, tailKey, tailSize }: UploadRow): Promise<Buffer> {
    const bytes = await buffer(await this.#storage.read(tailKey ?? ''));
    if (bytes.length === tailSize) return bytes;
    throw new Error(`the tail of upload ${id} should have ${tailSize} bytes, but ${bytes.length} are stored`);
  }

  /** A new object, then the ledger, and only then the old one goes: at every moment the bytes are somewhere. */
  async #writeTail(lease: Lease, bytes: Buffer): Promise<void> {
    const { id, epoch, offset, tailSize } = lease.upload;
    const tailKey = `${INCOMING}${id}/${epoch}`;
    await this.#storage.put(tailKey, bytes);
    await this.#moveOn(lease, { offset: offset - tailSize + bytes.length, tailKey, tailSize: bytes.length });
  }

  /** Commits, and deletes the tail that the ledger has no more use for. */
  async #moveOn(lease: Lease, changes: LedgerChanges): Promise<void> {
    const before = lease.upload;
    await this.save(lease, changes);
    if (before.tailKey !== lease.upload.tailKey) await this.#deleteTail(before);
  }

  async #deleteTail({ id, tailKey }: UploadRow): Promise<void> {
    if (tailKey === null) return;
    await this.#storage.delete(tailKey).catch((error: unknown) => {
      this.ctx.logger.warn({ err: error, upload: id }, 'an old tail is left to the sweep');
    });
  }

  /** Beside the part: before the ledger knows of it, or never. Without it the upload is read when it is whole. */
  async #copyPart(upload: UploadRow, number: number, bytes: Buffer): Promise<void> {
    try {
      if (await this.#readers.isFollowed(this.ctx.db, upload))
        await this.#storage.put(partCopy(upload.id, number), bytes);
    } catch (error) {
      this.ctx.logger.warn({ err: error, upload: upload.id }, 'an upload can not be read while it arrives');
    }
  }

  async #deleteCopies(id: string): Promise<void> {
    await this.#storage.deletePrefix(partCopies(id)).catch((error: unknown) => {
      this.ctx.logger.warn({ err: error, upload: id }, 'copies of parts are left to the sweep');
    });
  }

  async #isNeeded(row: UploadRow, key: string): Promise<boolean> {
    return (
      row.tailKey === key ||
      (key.startsWith(partCopies(row.id)) && this.#readers.isFollowed(this.ctx.db, row))
    );
  }

  #isOld(date: Date): boolean {
    return Date.now() - date.getTime() > this.ctx.strayAfterMs;
  }

  async #rowOf(id: string | undefined): Promise<UploadRow | undefined> {
    return this.ctx.db
      .selectFrom('upload')
      .selectAll()
      .where('id', '=', id ?? '')
      .executeTakeFirst();
  }
}

const isUnfinished = ({ state }: UploadRow): boolean => state === 'receiving' || state === 'assembling';
