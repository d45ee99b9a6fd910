/** The bytes of an upload while it arrives: what the ledger has promised of it, in order, to its end. */
import { open, type FileHandle } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from '../../db/dialect.ts';
import type { UploadRow } from '../../db/schema.ts';
import type { DiskStorage } from '../storage/disk.ts';
import { incomingKey } from './disk-store.ts';

/** The upload ended without becoming whole, or nobody went on with it. */
export class PrefixEnded extends Error {}

export interface PrefixOptions {
  signal: AbortSignal;
  /** How often the ledger is asked. */
  pollMs?: number;
  /** An upload that is silent for so long is not waited for. */
  idleMs?: number;
}

const CHUNK = 1024 * 1024;

/**
 * The committed bytes of an upload on disk from its first on, as they come. Ends when the upload is complete and every
 * byte was given. Throws `PrefixEnded` when it ended otherwise or is silent for too long, and when `signal` says so.
 */
export async function* openPrefix(
  { db, storage }: { db: Db; storage: DiskStorage },
  uploadId: string,
  { signal, pollMs = 250, idleMs = 600_000 }: PrefixOptions,
): AsyncGenerator<Buffer, void, undefined> {
  let position = 0;
  let movedAt = Date.now();
  for (;;) {
    const upload = await find(db, uploadId);
    const before = position;
    for await (const chunk of bytesOf(storage, upload, position)) {
      signal.throwIfAborted();
      position += chunk.length;
      yield chunk;
    }
    if (upload.state === 'complete' && position === upload.length) return;
    if (position > before) {
      movedAt = Date.now();
      continue;
    }
    if (Date.now() - movedAt > idleMs) throw new PrefixEnded(`nothing came for ${idleMs / 1000} s`);
    await sleep(pollMs, undefined, { signal });
  }
}

async function find(db: Db, id: string): Promise<UploadRow> {
  const upload = await db.selectFrom('upload').selectAll().where('id', '=', id).executeTakeFirst();
  if (upload && upload.state !== 'terminated' && upload.state !== 'expired') return upload;
  throw new PrefixEnded(`the upload is ${upload?.state ?? 'gone'}`);
}

/** Up to the committed offset, or nothing when the file was renamed under us: the next look at the ledger says to what. */
async function* bytesOf(storage: DiskStorage, upload: UploadRow, from: number): AsyncGenerator<Buffer> {
  const file = upload.offset > from ? await openUpload(storage, upload) : undefined;
  if (!file) return;
  try {
    for (let at = from; at < upload.offset;) {
      const size = Math.min(CHUNK, upload.offset - at);
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(size), 0, size, at);
      if (bytesRead === 0) throw new PrefixEnded(`its file ends at ${at} of ${upload.offset} bytes`);
      yield buffer.subarray(0, bytesRead);
      at += bytesRead;
    }
  } finally {
    await file.close();
  }
}

/** Between the rename and its commit the file is in its place already. */
async function openUpload(storage: DiskStorage, upload: UploadRow): Promise<FileHandle | undefined> {
  const keys = [...(upload.state === 'complete' ? [] : [incomingKey(upload)]), upload.key];
  for (const key of keys) {
    const file = await open(storage.pathOf(key), 'r').catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
    if (file) return file;
  }
  return undefined;
}
