/** The bytes of an upload while it arrives: what the ledger has promised of it, in order, to its end. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from '../../db/dialect.ts';
import type { UploadRow } from '../../db/schema.ts';
import { PrefixEnded } from '../errors.ts';
import { DiskStorage } from '../storage/disk.ts';
import { S3Storage } from '../storage/s3.ts';
import type { Storage } from '../storage/storage.ts';
import { diskReader } from './disk/prefix.ts';
import { NoCopy, s3Reader } from './s3/prefix.ts';

export interface PrefixOptions {
  signal: AbortSignal;
  /** How often the ledger is asked. */
  pollMs?: number;
  /** An upload that is silent for so long is not waited for. */
  idleMs: number;
}

/**
 * The committed bytes of an upload from its first on, as they come; a chunk is good until the next one is asked for. Ends when the upload is complete and every byte was
 * given. Throws `PrefixEnded` when there will be no more, when `signal` says so, and when storage fails.
 */
export async function* openPrefix(
  { db, storage }: { db: Db; storage: Storage },
  uploadId: string,
  { signal, pollMs = 100, idleMs }: PrefixOptions,
): AsyncGenerator<Buffer, void, undefined> {
  const bytesOf = readerOf({ db, storage }, signal);
  let position = 0;
  let movedAt = performance.now();
  for (;;) {
    const upload = await find(db, uploadId);
    const before = position;
    try {
      for await (const chunk of bytesOf(upload, position)) {
        signal.throwIfAborted();
        position += chunk.length;
        yield chunk;
      }
    } catch (error) {
      await assertMovedOn(db, upload, error);
    }
    if (upload.state === 'complete' && position === upload.length) return;
    if (position > before) {
      movedAt = performance.now();
      continue;
    }
    if (performance.now() - movedAt > idleMs) throw silent(idleMs);
    await sleep(pollMs, undefined, { signal });
  }
}

/**
 * Waits until the upload is complete; resolves with the key of its object. Throws `PrefixEnded` when it won't be, and when
 * `signal` says so.
 */
export async function awaitWhole(
  db: Db,
  uploadId: string,
  { signal, pollMs = 100, idleMs }: PrefixOptions,
): Promise<string> {
  let seen = { offset: -1, at: 0 };
  for (;;) {
    const { state, offset, key } = await find(db, uploadId);
    if (state === 'complete') return key;
    if (offset > seen.offset) seen = { offset, at: performance.now() };
    else if (performance.now() - seen.at > idleMs) throw silent(idleMs);
    await sleep(pollMs, undefined, { signal });
  }
}

const silent = (idleMs: number): Error => new PrefixEnded(`nothing came for ${idleMs / 1000} s`);

function readerOf(
  { db, storage }: { db: Db; storage: Storage },
  signal: AbortSignal,
): (upload: UploadRow, from: number) => AsyncGenerator<Buffer> {
  if (storage instanceof DiskStorage) return diskReader(storage);
  if (storage instanceof S3Storage) return s3Reader({ db, storage }, signal);
  throw new Error(`no reader for ${storage.driver}`);
}

/** What was being read may have gone because the upload is whole, or over: the next look says so. Else throws. */
async function assertMovedOn(db: Db, { id, state }: UploadRow, error: unknown): Promise<void> {
  if ((await find(db, id)).state !== state) return;
  throw error instanceof NoCopy ? new PrefixEnded(error.message) : error;
}

async function find(db: Db, id: string): Promise<UploadRow> {
  const upload = await db.selectFrom('upload').selectAll().where('id', '=', id).executeTakeFirst();
  if (upload && upload.state !== 'terminated' && upload.state !== 'expired') return upload;
  throw new PrefixEnded(`the upload is ${upload?.state ?? 'gone'}`);
}
