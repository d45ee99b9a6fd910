/** Reads an unfinished upload on S3 along its parts, of which it needs copies (part-copies.ts), and the tail behind them. */
import type { Db } from '../../../db/dialect.ts';
import type { UploadPartRow, UploadRow } from '../../../db/schema.ts';
import type { S3Storage } from '../../storage/s3.ts';
import { ObjectMissingError } from '../../storage/storage.ts';
import { partCopy } from './part-copies.ts';
import { piecesOf } from './tail.ts';

/** The copy of a committed part was never made, or is gone: this upload can only be read when it is whole. */
export class NoCopy extends Error {}

/**
 * Reads an upload on S3 again and again as it grows: each call gives what the ledger knows from byte `from` on, which
 * is where the last one ended. Throws `NoCopy`.
 */
export function s3Reader(
  { db, storage }: { db: Db; storage: S3Storage },
  signal: AbortSignal,
): (upload: UploadRow, from: number) => AsyncGenerator<Buffer> {
  let read = { number: 0, end: 0 };
  return async function* (upload, from) {
    if (upload.state === 'complete') {
      if (from < upload.offset)
        yield* await storage.read(upload.key, { start: from, end: upload.offset - 1 }, signal);
      return;
    }
    for (const { number, size } of await partsAfter(db, upload.id, read.number)) {
      const start = read.end;
      const end = start + size;
      const range = { start: Math.max(0, from - start), end: size - 1 };
      if (from < end)
        // else the tail had all of it
        yield* await storage.read(partCopy(upload.id, number), range, signal).catch((error: unknown) => {
          if (error instanceof ObjectMissingError) throw new NoCopy(`part ${number} can't be read yet`);
          throw error;
        });
      read = { number, end };
      from = Math.max(from, end);
    }
    // Of a row that is older than the parts, the tail is in one of them.
    if (upload.offset - upload.tailSize === read.end) yield* readTail(storage, upload, from, signal);
  };
}

/** The tail's bytes from `from` on; fewer when a piece went into a part meanwhile, which is read next. */
async function* readTail(
  storage: S3Storage,
  upload: UploadRow,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  let end = upload.offset - upload.tailSize;
  for (const { key, size } of piecesOf(upload)) {
    const start = end;
    end += size;
    if (end <= from) continue;
    const range = { start: Math.max(0, from - start), end: size - 1 };
    const bytes = await storage.read(key, range, signal).catch((error: unknown) => {
      if (error instanceof ObjectMissingError) return undefined;
      throw error;
    });
    if (!bytes) return;
    yield* bytes;
    from = end;
  }
}

const partsAfter = (db: Db, uploadId: string, number: number): Promise<UploadPartRow[]> =>
  db
    .selectFrom('uploadPart')
    .selectAll()
    .where('uploadId', '=', uploadId)
    .where('number', '>', number)
    .orderBy('number')
    .execute();
