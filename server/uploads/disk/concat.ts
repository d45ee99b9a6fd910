/** Concatenation on disk: the first partial's file goes on as the final's, and the others are written behind it. */
import { open, rename, stat } from 'node:fs/promises';
import { BytesLostError } from '../problems.ts';

export interface PartialFile {
  path: string;
  size: number;
}

const CHUNK = 1024 * 1024;

/**
 * Makes `target` the partials' bytes, in order. May be repeated, after a crash or by somebody else: the same bytes
 * are written at the same places, and nothing is ever cut. `check` throws when nothing may be written any more. Throws
 * `BytesLostError` when a partial is too short, and ENOENT when it is not there.
 */
export async function joinFiles(target: string, partials: PartialFile[], check: () => void): Promise<void> {
  const [first, ...rest] = partials.filter(({ size }) => size > 0);
  if (!first) return;
  await rename(first.path, target).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    await stat(target); // an earlier attempt moved it
  });
  const file = await open(target, 'r+');
  try {
    let position = first.size;
    for (const { path, size } of rest) {
      await append(file, position, path, size, check);
      position += size;
    }
    await file.datasync();
  } finally {
    await file.close();
  }
}

type File = Awaited<ReturnType<typeof open>>;

async function append(file: File, at: number, path: string, size: number, check: () => void): Promise<void> {
  const source = await open(path, 'r');
  try {
    const buffer = Buffer.allocUnsafe(CHUNK);
    for (let done = 0; done < size;) {
      const { bytesRead } = await source.read(buffer, 0, Math.min(CHUNK, size - done), done);
      if (bytesRead === 0) throw new BytesLostError(`${path} should have ${size} bytes, but ends at ${done}`);
      check();
      for (let written = 0; written < bytesRead;)
        written += (await file.write(buffer, written, bytesRead - written, at + done + written)).bytesWritten;
      done += bytesRead;
    }
  } finally {
    await source.close();
  }
}
