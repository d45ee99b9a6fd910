/** Bytes in the bucket that no unfinished upload has a use for: what crashes left. */
import type { Db } from '../../../db/dialect.ts';
import type { UploadRow } from '../../../db/schema.ts';
import type { S3Storage } from '../../storage/s3.ts';
import { PARTIALS } from '../store.ts';
import type { Multipart } from './multipart.ts';
import { INCOMING, partCopies } from './part-copies.ts';
import { piecesOf } from './tail.ts';

export interface StraysOptions {
  db: Db;
  storage: S3Storage;
  multipart: Multipart;
  /** Younger ones are left alone: a request may be about to tell the ledger of them. */
  afterMs: number;
  /** Somebody reads the upload while it arrives. */
  isFollowed(upload: UploadRow): Promise<boolean>;
}

/** Removes only what belongs to an upload that the ledger knows: others may share the bucket. */
export async function removeStrays(options: StraysOptions): Promise<void> {
  const { db, storage, multipart, afterMs, isFollowed } = options;
  const begun = [...(await multipart.list('media/')), ...(await multipart.list(PARTIALS))];
  for (const { key, uploadId, initiatedAt } of begun) {
    const row = isOld(initiatedAt) && (await rowOf(key));
    if (row && row.key === key && !(isUnfinished(row) && row.storageId === uploadId))
      await multipart.abort(key, uploadId);
  }
  for await (const { key, modifiedAt } of storage.list(INCOMING)) {
    const row = isOld(modifiedAt) && (await rowOf(key));
    if (row && !(isUnfinished(row) && (await isNeeded(row, key)))) await storage.delete(key);
  }

  function isOld(date: Date): boolean {
    return Date.now() - date.getTime() > afterMs;
  }

  /** The upload whose id is in the key. */
  function rowOf(key: string): Promise<UploadRow | undefined> {
    const id = key.split('/')[1] ?? '';
    return db.selectFrom('upload').selectAll().where('id', '=', id).executeTakeFirst();
  }

  async function isNeeded(row: UploadRow, key: string): Promise<boolean> {
    if (piecesOf(row).some((piece) => piece.key === key)) return true;
    return key.startsWith(partCopies(row.id)) && isFollowed(row);
  }
}

const isUnfinished = ({ state }: UploadRow): boolean => state === 'receiving' || state === 'assembling';
