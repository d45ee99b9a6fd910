/** Keeps what comes in a local file, for readers that each begin at its first byte, while it still grows. */
import { EventEmitter, once } from 'node:events';
import { open } from 'node:fs/promises';

export interface Spool {
  path: string;
  /**
   * The bytes from the first on, waiting for those to come; a chunk is good until the next one is asked for. Throws what
   * filling the spool failed with.
   */
  read(signal: AbortSignal): AsyncGenerator<Buffer, void, undefined>;
  /** Resolves when everything is in the file. */
  filled: Promise<void>;
}

const CHUNK = 1024 * 1024;

/** Begins to fill a new file. */
export function spool(chunks: AsyncIterable<Buffer>, path: string): Spool {
  const news = new EventEmitter().setMaxListeners(0);
  let size = 0;
  let over = false;

  const fill = async (): Promise<void> => {
    const file = await open(path, 'w');
    try {
      for await (const chunk of chunks) {
        await file.writeFile(chunk); // from where the last one ended
        size += chunk.length;
        news.emit('more');
      }
    } finally {
      await file.close();
    }
  };
  const filled = fill().finally(() => {
    over = true;
    news.emit('more');
  });
  filled.catch(() => undefined); // thrown to readers, and to whoever waits for it

  return {
    path,
    filled,
    async *read(signal) {
      const memory = Buffer.allocUnsafeSlow(CHUNK);
      for (let at = 0; ;) {
        signal.throwIfAborted();
        if (at < size) {
          for await (const chunk of bytesOf(path, at, size, memory)) {
            at += chunk.length;
            yield chunk;
          }
        } else if (over) return filled;
        else await once(news, 'more', { signal });
      }
    },
  };
}

async function* bytesOf(path: string, from: number, to: number, memory: Buffer): AsyncGenerator<Buffer> {
  const file = await open(path, 'r');
  try {
    for (let at = from; at < to;) {
      const { bytesRead } = await file.read(memory, 0, Math.min(memory.length, to - at), at);
      if (bytesRead === 0) throw new Error(`${path} ends at ${at} of ${to} bytes`);
      yield memory.subarray(0, bytesRead);
      at += bytesRead;
    }
  } finally {
    await file.close();
  }
}
