/** Reads the file of an unfinished upload. */
import { open, type FileHandle } from 'node:fs/promises';
import type { UploadRow } from '../../../db/schema.ts';
import type { DiskStorage } from '../../storage/disk.ts';
import { incomingKey } from './store.ts';

const CHUNK = 1024 * 1024;

/**
 * The bytes of an upload on disk from `from` up to the committed offset, all in the same memory: a chunk is good until the
 * next one is asked for. Nothing when the file was renamed under us: the next look at the ledger says to what. Throws when
 * the file is shorter than the ledger says.
 */
export const diskReader = (
  storage: DiskStorage,
): ((upload: UploadRow, from: number) => AsyncGenerator<Buffer>) => {
  let memory: Buffer | undefined;
  return async function* (upload, from) {
    const file = upload.offset > from ? await openUpload(storage, upload) : undefined;
    if (!file) return;
    memory ??= Buffer.allocUnsafeSlow(CHUNK);
    try {
      for (let at = from; at < upload.offset;) {
        const { bytesRead } = await file.read(memory, 0, Math.min(CHUNK, upload.offset - at), at);
        if (bytesRead === 0) throw new Error(`its file ends at ${at} of ${upload.offset} bytes`);
        yield memory.subarray(0, bytesRead);
        at += bytesRead;
      }
    } finally {
      await file.close();
    }
  };
};

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
