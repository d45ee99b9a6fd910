/** SQLite's write-ahead log, as far as power cuts are concerned. */
import { open, type FileHandle } from 'node:fs/promises';

export interface WriteAheadLog {
  /** Resolves when all that was committed before the call, by any process, survives a power cut. */
  flush(): Promise<void>;
  /** For after the database was closed. */
  close(): Promise<void>;
}

/**
 * The log of a database that this process has open: until it closes it, SQLite does not remove the log, and so the file
 * stays the same one. It holds every commit until a checkpoint, which syncs it first.
 */
export function writeAheadLog(path: string): WriteAheadLog {
  let file: FileHandle | undefined;
  return {
    flush: grouped(async () => {
      file ??= await openIfThere(path);
      await file?.datasync();
    }),
    async close() {
      await file?.close();
      file = undefined;
    },
  };
}

/** Without a log all is in the database. */
async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Calls that come while `work` runs share the next run: what they are about may have come too late for this one. */
function grouped(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  const start = (): Promise<void> => {
    next = undefined;
    return (running = work().finally(() => (running = undefined)));
  };
  return () => {
    if (!running) return start();
    return (next ??= running.then(start, start));
  };
}
