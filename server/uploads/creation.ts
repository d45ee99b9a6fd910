/** Creation of uploads, once per Idempotency-Key, and how tus 1.0 asks for it (creation, -with-upload, -defer-length). */
import type { Trx } from '../../db/dialect.ts';
import type { UploadRow } from '../../db/schema.ts';
import { transact } from '../../db/transaction.ts';
import type { Principal } from '../auth/principal.ts';
import type { Config } from '../config.ts';
import { newId } from '../ids.ts';
import { sourceKey } from '../storage/storage.ts';
import {
  claimPartials,
  earlierFinal,
  extraBytes,
  isSameConcat,
  readConcat,
  type Concat,
} from './concatenation.ts';
import { attach, header, type Exchange } from './exchange.ts';
import type { UploadHooks } from './hooks.ts';
import type { Lease, Leases } from './ledger/leases.ts';
import {
  assertStanding,
  findByIdempotencyKey,
  findUpload,
  insertUpload,
  isRepeatedCreation,
  isWhole,
} from './ledger/ledger.ts';
import { describeFile, parseMetadata, type FileDescription } from './metadata.ts';
import { bad, keyReused, tooLarge } from './problems.ts';
import { claimQuota, quotaFor } from './quota.ts';
import { readReprDigest } from './repr-digest.ts';
import { PARTIALS, type LedgerStore } from './store.ts';

/** Appends the current request's body, `limit` bytes at most. */
export type Receive = (lease: Lease, limit: number) => Promise<unknown>;

/**
 * Creates the upload a request asks for, with its first bytes when it brings some; or finds the one it repeats.
 * The wish is read once the client is known, so that strangers are told nothing but 401.
 */
export type Create = (exchange: Exchange, readWish: () => Wish, receive: Receive) => Promise<UploadRow>;

export function createCreation(store: LedgerStore, leases: Leases, hooks: UploadHooks): Create {
  const { config, db } = store.ctx;

  return async (exchange, readWish, receive) => {
    const principal = (exchange.principal = await hooks.authorize(exchange.request.headers));
    const { owner } = principal;
    const wish = readWish();
    if ((wish.length ?? 0) > config.uploads.maxSize)
      throw tooLarge(`The upload is larger than ${config.uploads.maxSize} bytes.`);
    const repeated = await earlier(owner, wish);
    const upload = repeated ?? (await open(principal, wish));
    if (!repeated && !wish.hasBody && !isWhole(upload)) return upload;
    if (upload.kind === 'final') return upload.state === 'assembling' ? store.finishing.join(upload) : upload;
    return begin(exchange, upload.id, wish, receive);
  };

  /** The upload that the same creation made before; its answer may have been lost. */
  async function earlier(owner: string, wish: Wish): Promise<UploadRow | undefined> {
    const { concat, idempotencyKey } = wish;
    const upload =
      (idempotencyKey !== null && (await findByIdempotencyKey(db, owner, idempotencyKey))) ||
      (concat?.kind === 'final' && (await earlierFinal(db, owner, concat)));
    if (!upload) return undefined;
    if (!isSameConcat(upload, concat)) throw keyReused();
    if (upload.metadata !== wish.metadata || (wish.length !== null && upload.length !== wish.length))
      throw keyReused();
    assertStanding(await findUpload(db, upload.id));
    await store.durable();
    return upload;
  }

  async function open(principal: Principal, wish: Wish): Promise<UploadRow> {
    const { concat } = wish;
    const { owner } = principal;
    const final = concat?.kind === 'final' ? concat : undefined;
    const bytes = final ? await extraBytes(db, final) : (wish.length ?? 0);
    const free = await store.room.look(bytes);
    try {
      return await transact(db, async (trx) => {
        await store.room.claim(trx, free, bytes);
        const upload = await insert(trx, principal, wish);
        return final ? await claimPartials(trx, upload, final, config.uploads.maxSize) : upload;
      });
    } catch (error) {
      const winner = isRepeatedCreation(error) || final ? await earlier(owner, wish) : undefined;
      if (winner) return winner;
      throw error;
    }
  }

  /** A partial upload has no media: it is a piece of one. */
  async function insert(trx: Trx, principal: Principal, wish: Wish): Promise<UploadRow> {
    const id = newId();
    const { owner } = principal;
    const { file, length, metadata, digest, idempotencyKey, concat } = wish;
    const expiresAt = Date.now() + config.uploads.expiresMs;
    const partial = concat?.kind === 'partial';
    const quota = quotaFor(owner, principal, config.uploads);
    const { unfinished } = config.uploads;
    if (concat?.kind !== 'final') await claimQuota(trx, owner, length ?? 0, { quota, unfinished });
    if (!partial) await hooks.create(trx, { mediaId: id, owner, file });
    return insertUpload(trx, {
      ...{ id, mediaId: partial ? null : id, owner, kind: concat?.kind ?? 'single' },
      ...{ length, metadata, digest, idempotencyKey, expiresAt, concat: concat?.header ?? null },
      key: partial ? PARTIALS + id : sourceKey(id),
    });
  }

  /** The first bytes, unless an earlier request brought some; and the end of an upload of no bytes. */
  async function begin(exchange: Exchange, id: string, wish: Wish, receive: Receive): Promise<UploadRow> {
    const lease = await leases.acquire(id);
    attach(exchange, lease);
    try {
      await store.getUpload(id);
      const { state, offset } = lease.upload;
      if (wish.hasBody && state === 'receiving' && (offset === 0 || wish.resumes))
        await receive(lease, wish.length ?? config.uploads.maxSize);
      return lease.upload;
    } finally {
      await lease.release();
    }
  }
}

/** A creation as it was asked for, checked. */
export interface Wish {
  /** Null: deferred. */
  length: number | null;
  /** As sent. */
  metadata: string | null;
  file: FileDescription;
  /** Null: an upload of its own. */
  concat: Concat | null;
  /** What the whole object must be: and what shall be told of it: the outcome of `readReprDigest`. */
  digest: string | null;
  idempotencyKey: string | null;
  hasBody: boolean;
  /** The body of a repeated creation goes on behind the bytes that the first one brought; else it is not read then. */
  resumes: boolean;
}

/** Throws 400 and 413. */
export function readTusWish(exchange: Exchange, { uploads: limits, publicUrl }: Config): Wish {
  const concat = readConcat(exchange, publicUrl);
  const length = concat?.kind === 'final' ? noLength(exchange) : readLength(exchange);
  const hasBody =
    concat?.kind !== 'final' && header(exchange, 'content-type') === 'application/offset+octet-stream';
  if (hasBody && Number(header(exchange, 'content-length') ?? 0) > (length ?? limits.maxSize))
    throw tooLarge('The request holds more bytes than the upload may take.');
  const metadata = header(exchange, 'upload-metadata') || null;
  return {
    length,
    metadata,
    file: describeFile(parseMetadata(metadata ?? '', limits.metadataMax)),
    concat,
    digest: readReprDigest(exchange.request.headers),
    idempotencyKey: readIdempotencyKey(exchange),
    hasBody,
    resumes: false,
  };
}

/** "The request MUST include … Upload-Length or Upload-Defer-Length: 1"; @tus/server checked their values. */
function readLength(exchange: Exchange): number | null {
  const length = header(exchange, 'upload-length');
  const deferred = header(exchange, 'upload-defer-length') !== undefined;
  if ((length !== undefined) === deferred)
    throw bad('length_invalid', 'Send either Upload-Length or Upload-Defer-Length: 1.');
  return length === undefined ? null : Number(length);
}

/** "The Client MUST NOT include the Upload-Length header in the final upload creation." Throws 400. */
function noLength(exchange: Exchange): null {
  if (header(exchange, 'upload-length') === undefined) return null;
  throw bad('length_invalid', 'A final upload is as long as its parts: send no Upload-Length.');
}

/** Throws 400. */
export function readIdempotencyKey(exchange: Exchange): string | null {
  const key = header(exchange, 'idempotency-key');
  if (key === undefined) return null;
  if (/^[\x20-\x7e]{1,255}$/.test(key)) return key;
  throw bad('idempotency_key_invalid', 'Idempotency-Key must be 1 to 255 printable ASCII characters.');
}
