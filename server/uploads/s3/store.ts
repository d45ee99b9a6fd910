/**
 * Uploads on S3: whole parts go into a multipart upload of the object itself, the bytes after them into the small
 * objects of a tail. The ledger's offset is the sum of its contiguous parts and its tail. While somebody reads an upload
 * as it arrives, its parts are stored twice (part-copies.ts).
 */
import type { UploadRow } from '../../../db/schema.ts';
import type { S3Storage } from '../../storage/s3.ts';
import { ObjectMissingError } from '../../storage/storage.ts';
import type { RequestBody } from '../body.ts';
import { partialsOf } from '../concatenation.ts';
import type { UploadHooks } from '../hooks.ts';
import type { Lease, Leases } from '../ledger/leases.ts';
import { forgetParts, outerParts, partsOf, type LedgerChanges } from '../ledger/ledger.ts';
import { BytesLostError } from '../problems.ts';
import { assembleObject, type Assembly } from './assembly.ts';
import { Multipart } from './multipart.ts';
import { PartBuffers } from './part-buffers.ts';
import { INCOMING } from './part-copies.ts';
import { partSizeFor } from './part-size.ts';
import { PartWriter, type StoredPart } from './part-writer.ts';
import { Parts } from './parts.ts';
import { joinObjects } from './concat.ts';
import { LedgerStore, type StoreContext } from '../store.ts';
import { removeStrays } from './strays.ts';
import { TailCheckpoints } from './tail-checkpoints.ts';
import { piecesOf, sizeOf, tailOf, Tails } from './tail.ts';
import { Turns } from '../turns.ts';

/** Listing a bucket costs money: not every minute. */
const STRAYS_EVERY_MS = 60 * 60 * 1000;

export class S3Store extends LedgerStore {
  readonly #storage: S3Storage;
  readonly #multipart: Multipart;
  readonly #parts: Parts;
  readonly #tails: Tails;
  readonly #buffers: PartBuffers;
  readonly #readers: Pick<UploadHooks, 'mayFollow' | 'isFollowed'>;
  #strayAt = -Infinity;

  constructor(ctx: StoreContext, hooks: UploadHooks, leases: Leases, storage: S3Storage) {
    super(ctx, hooks, leases);
    this.#storage = storage;
    this.#multipart = new Multipart(storage);
    this.#parts = new Parts({
      db: ctx.db,
      logger: ctx.logger,
      storage,
      multipart: this.#multipart,
      readers: hooks,
    });
    this.#tails = new Tails(storage);
    this.#buffers = new PartBuffers(ctx.config.uploads.memory, ctx.config.uploads.partSize);
    this.#readers = hooks;
  }

  get #bucket(): Assembly {
    return { db: this.ctx.db, storage: this.#storage, multipart: this.#multipart };
  }

  protected override append(lease: Lease, body: RequestBody): Promise<void> {
    return this.#unlessAborted(lease, () => this.#append(lease, body));
  }

  async #append(lease: Lease, body: RequestBody): Promise<void> {
    const before = lease.upload.offset;
    // Of a tentative body, what is stored waits here until all of it is.
    const waiting: StoredPart[] = [];
    const turns = new Turns();
    const commit = async (parts: StoredPart[]): Promise<void> => {
      if (body.tentative) waiting.push(...parts);
      else await turns.take(() => this.#commitParts(lease, parts));
      checkpoints?.moved();
    };
    const writer = await this.#openWriter(lease, body, turns, commit);
    const checkpoints = body.tentative ? undefined : this.#checkpoints(lease, writer, turns);
    try {
      await this.#fill(lease, writer, body, checkpoints);
      await checkpoints?.end();
      await writer.settle();
      // What a digest disproved is no part of the ledger: the next parts take its numbers.
      if (!body.kept) return;
      if (waiting.length) await this.#commitParts(lease, waiting);
      await this.#storeRest(lease, writer, before + writer.written);
    } finally {
      await checkpoints?.end();
      await writer.close();
    }
  }

  #checkpoints(lease: Lease, writer: PartWriter, turns: Turns): TailCheckpoints {
    const readers = this.#readers;
    return new TailCheckpoints({
      ...{ lease, writer, turns, logger: this.ctx.logger, tails: this.#tails },
      everyMs: this.ctx.config.uploads.checkpointMs,
      isFollowed: async () =>
        readers.mayFollow(lease.upload) && readers.isFollowed(this.ctx.db, lease.upload),
      save: (changes) => this.save(lease, changes),
    });
  }

  override async concatenate(lease: Lease, partials: UploadRow[]): Promise<void> {
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
    }).catch((error: unknown) => {
      const gone = error instanceof ObjectMissingError || (error as Error).name === 'NoSuchKey';
      throw gone ? new BytesLostError(`a partial upload of ${id} is gone`, error) : error;
    });
    await this.save(lease, { parts });
  }

  override close(lease: Lease): Promise<void> {
    return this.#unlessAborted(lease, () => this.#gather(lease));
  }

  override async assemble(lease: Lease): Promise<void> {
    try {
      await assembleObject(this.#bucket, lease.upload);
    } catch (error) {
      if (!(error instanceof BytesLostError) || lease.upload.kind !== 'final') throw error;
      // What was joined went with its multipart upload. The partials still have the bytes.
      this.ctx.logger.warn({ err: error, upload: lease.upload.id }, 'a final upload is joined once more');
      await forgetParts(this.ctx.db, lease);
      await this.concatenate(lease, await partialsOf(this.ctx.db, lease.upload));
      await assembleObject(this.#bucket, lease.upload);
    }
  }

  override async tidy(upload: UploadRow): Promise<void> {
    if (!this.#readers.mayFollow(upload)) return this.#deleteTail(upload);
    await this.#storage.deletePrefix(`${INCOMING}${upload.id}/`).catch((error: unknown) => {
      this.ctx.logger.warn({ err: error, upload: upload.id }, 'what it left behind is left to the sweep');
    });
  }

  override async discardBytes({ id, key }: UploadRow): Promise<void> {
    for (const { uploadId } of await this.#multipart.list(key)) await this.#multipart.abort(key, uploadId);
    await this.#storage.deletePrefix(`${INCOMING}${id}/`);
    await this.#storage.delete(key);
  }

  override async removeStrays(): Promise<void> {
    if (performance.now() - this.#strayAt < STRAYS_EVERY_MS) return;
    this.#strayAt = performance.now();
    const isFollowed = (upload: UploadRow): Promise<boolean> => this.#readers.isFollowed(this.ctx.db, upload);
    await removeStrays({ ...this.#bucket, afterMs: this.ctx.strayAfterMs, isFollowed });
  }

  /**
   * A bucket's lifecycle rule, or somebody, may have aborted the multipart upload. Its parts are lost then; an upload that has
   * none yet gets another one with the next request.
   */
  async #unlessAborted(lease: Lease, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if ((error as Error).name !== 'NoSuchUpload') throw error;
      const { id, storageId } = lease.upload;
      if ((await outerParts(this.ctx.db, id)).first)
        throw new BytesLostError(`the multipart upload ${storageId} of ${id} was aborted`, error);
      await this.save(lease, { storageId: null });
      throw error;
    }
  }

  /** A writer that goes on after the last part and behind the tail. To be closed. */
  async #openWriter(
    lease: Lease,
    body: RequestBody,
    turns: Turns,
    commit: (parts: StoredPart[]) => Promise<void>,
  ): Promise<PartWriter> {
    const { upload } = lease;
    const { offset, tailSize, length } = upload;
    const { first, last } = await outerParts(this.ctx.db, upload.id);
    const { maxSize, partSize: preferred } = this.ctx.config.uploads;
    // Before its length was declared, an upload may have got a tail that is longer than its parts would be now.
    const partSize = first?.size ?? Math.max(partSizeFor(length ?? maxSize, preferred), tailSize + 1);
    const { expected } = body;
    const fillsPart = tailSize + expected >= partSize;
    const endsUpload = expected > 0 && offset + expected === length;
    // Nobody knows how long a body without a length is, or whether one with a digest is kept.
    const maySend = body.isAnnounced && !body.tentative && !this.#storage.signsBytes;
    const writer = new PartWriter({
      ...{ partSize, expected, headSize: tailSize, buffers: this.#buffers, commit },
      lastEnds: endsUpload && (fillsPart || upload.storageId !== null),
      firstNumber: await this.#parts.nextNumber(lease, last?.number ?? 0),
      readHead: (into) => this.#tails.read(piecesOf(upload), into),
      begin: () => this.#begin(lease, turns),
      upload: (number, bytes, streamed) => this.#parts.upload(lease, number, bytes, streamed),
      stream: maySend ? (number, part) => this.#parts.stream(lease, number, part) : undefined,
      onFailure: () => body.stop(),
    });
    if (fillsPart) writer.prepare();
    else if (endsUpload) writer.fetchHead();
    return writer;
  }

  /** All that comes, in parts. The last one, if the upload becomes whole and has others, may be small. */
  async #fill(
    lease: Lease,
    writer: PartWriter,
    body: RequestBody,
    checkpoints: TailCheckpoints | undefined,
  ): Promise<void> {
    const { offset } = lease.upload;
    try {
      await body.drain((pieces, _bytes, done) => {
        lease.check();
        writer.write(pieces).then(() => {
          checkpoints?.pass();
          done();
        }, done);
      });
      lease.check();
      const inOneTail = writer.untouched && lease.upload.storageId === null;
      if (body.kept && offset + writer.written === lease.upload.length && writer.written && !inOneTail)
        writer.flushLast();
    } catch (error) {
      body.stop();
      await writer.settle();
      throw error;
    }
  }

  async #begin(lease: Lease, turns: Turns): Promise<void> {
    if (lease.upload.storageId !== null) return;
    const storageId = await this.#multipart.create(lease.upload.key);
    await turns.take(() => this.save(lease, { storageId }));
  }

  /** The first of these parts begins with the tail's bytes. */
  async #commitParts(lease: Lease, parts: StoredPart[]): Promise<void> {
    const { offset, tailSize } = lease.upload;
    await this.#moveOn(lease, { offset: offset - tailSize + sizeOf(parts), parts, ...tailOf([]) });
  }

  /**
   * Stores what follows the last part as a piece of the tail. An upload that is whole and smaller than a part gets one
   * of all its bytes: nobody else writes under its name, while a PUT of the object itself by a holder that was paused
   * could still arrive when others had gone on, or had deleted it.
   */
  async #storeRest(lease: Lease, writer: PartWriter, received: number): Promise<void> {
    const { upload } = lease;
    if (writer.fill <= upload.tailSize) return;
    lease.check();
    const whole = received === upload.length;
    const bytes = await writer.take(whole);
    const named = { id: upload.id, epoch: upload.epoch, end: received };
    const pieces = whole
      ? [await this.#tails.write(named, bytes, 0)]
      : await this.#tails.extend(piecesOf(upload), named, bytes, writer.headSize);
    await this.#moveOn(lease, { offset: received, ...tailOf(pieces) });
  }

  /**
   * Of an upload that is whole, makes the tail the last part, or one object: a length that was declared after the last
   * byte leaves it as it was.
   */
  async #gather(lease: Lease): Promise<void> {
    const { id, epoch, storageId, offset, tailSize } = lease.upload;
    const pieces = piecesOf(lease.upload);
    if (pieces.length === 0 || (storageId === null && pieces.length === 1)) return;
    const bytes = Buffer.allocUnsafeSlow(tailSize);
    await this.#tails.read(pieces, bytes);
    if (storageId === null) {
      lease.check();
      const piece = await this.#tails.write({ id, epoch, end: offset }, bytes, 0);
      return this.#moveOn(lease, { offset, ...tailOf([piece]) });
    }
    const { last } = await outerParts(this.ctx.db, id);
    const number = await this.#parts.nextNumber(lease, last?.number ?? 0);
    const { etag } = await this.#parts.upload(lease, number, bytes);
    await this.#commitParts(lease, [{ number, size: tailSize, etag }]);
  }

  /** Commits, and deletes the pieces that the ledger has no more use for: at every moment the bytes are somewhere. */
  async #moveOn(lease: Lease, changes: LedgerChanges): Promise<void> {
    const before = lease.upload;
    await this.save(lease, changes);
    await this.#deleteTail(before, lease.upload);
  }

  async #deleteTail(before: UploadRow, now?: UploadRow): Promise<void> {
    await this.#tails.delete(before, now).catch((error: unknown) => {
      this.ctx.logger.warn({ err: error, upload: before.id }, 'an old tail is left to the sweep');
    });
  }
}
