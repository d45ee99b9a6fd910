/**
 * Readable copies of the parts of an unfinished object on S3: nobody can read what is in a multipart upload before it
 * is completed. They exist for those who read an upload while it arrives, and go when it is whole or given up.
 */
import type { Db } from '../../../db/dialect.ts';
import type { UploadPartRow, UploadRow } from '../../../db/schema.ts';
import type { S3Storage } from '../../storage/s3.ts';
import { ObjectMissingError } from '../../storage/storage.ts';

/** Everything of unfinished uploads that is no part: tails and copies, in a folder for each. */
export const INCOMING = 'incoming/';

/** Below it lie the copies of an upload's parts. */
export const partCopies = (uploadId: string): string => `${INCOMING}${uploadId}/parts/`;

/** Where the copy of a part is. The number is as unique as that of the part: a holder that was paused has others. */
export const partCopy = (uploadId: string, number: number): string => `${partCopies(uploadId)}${number}`;

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
      const range = { start: Math.max(0, from - start), end: size - 1 };
      yield* await storage.read(partCopy(upload.id, number), range, signal).catch((error: unknown) => {
        if (error instanceof ObjectMissingError) throw new NoCopy(`part ${number} can't be read yet`);
        throw error;
      });
      read = { number, end: start + size };
      from = read.end;
    }
  };
}

const partsAfter = (db: Db, uploadId: string, number: number): Promise<UploadPartRow[]> =>
  db
    .selectFrom('uploadPart')
    .selectAll()
    .where('uploadId', '=', uploadId)
    .where('number', '>', number)
    .orderBy('number')
    .execute();
