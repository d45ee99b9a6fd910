import { randomUUID } from 'node:crypto';
import {
  access,
  constants,
  copyFile,
  link,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  stat,
  statfs,
  writeFile,
} from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import type { Readable } from 'node:stream';
import { ObjectMissingError, type ByteRange, type ObjectStat, type Storage } from './storage.ts';

/** Objects as files below one folder: the key is the path. */
export class DiskStorage implements Storage {
  readonly driver = 'disk';
  readonly root: string;
  readonly #temporary: string;

  constructor(root: string) {
    this.root = resolve(root);
    this.#temporary = join(this.root, 'tmp');
  }

  /** The file of a key. Throws on a key that would leave the root: keys are ours, so that is a bug. */
  pathOf(key: string): string {
    const path = resolve(this.root, key);
    if (!path.startsWith(this.root + sep) || key.includes('\0')) throw new Error(`bad storage key ${key}`);
    return path;
  }

  async stat(key: string): Promise<ObjectStat | undefined> {
    const found = await stat(this.pathOf(key), { bigint: true }).catch(missing);
    if (!found?.isFile()) return undefined;
    const tag = [found.size, found.mtimeNs, found.ino].map((n) => n.toString(36)).join('-');
    return { size: Number(found.size), etag: `"${tag}"`, modifiedAt: found.mtime };
  }

  async read(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Readable> {
    const handle = await open(this.pathOf(key), 'r').catch(missing);
    if (!handle) throw new ObjectMissingError(key);
    return handle.createReadStream({ ...range, signal, highWaterMark: 256 * 1024 });
  }

  async put(key: string, body: Buffer | string): Promise<void> {
    await this.#place(key, (temporary) => writeFile(temporary, body));
  }

  async putFile(key: string, path: string): Promise<void> {
    // A second name for the same bytes costs nothing; across file systems it has to be a copy.
    await this.#place(key, (temporary) =>
      link(path, temporary).catch(() => copyFile(path, temporary, constants.COPYFILE_FICLONE)),
    );
  }

  async localPath(key: string): Promise<string> {
    const path = this.pathOf(key);
    await access(path).catch(() => {
      throw new ObjectMissingError(key);
    });
    return path;
  }

  async *list(prefix: string): AsyncGenerator<{ key: string; size: number; modifiedAt: Date }> {
    const entries = (await readdir(this.pathOf(prefix), { withFileTypes: true }).catch(missing)) ?? [];
    for (const entry of entries) {
      const key = prefix + entry.name;
      if (entry.isDirectory()) yield* this.list(`${key}/`);
      const found = entry.isFile() ? await this.stat(key) : undefined;
      if (found) yield { key, size: found.size, modifiedAt: found.modifiedAt };
    }
  }

  async delete(key: string): Promise<void> {
    await rm(this.pathOf(key), { force: true });
  }

  async deletePrefix(prefix: string): Promise<void> {
    await rm(this.pathOf(prefix), { recursive: true, force: true });
  }

  async check(): Promise<void> {
    const key = `tmp/check-${randomUUID()}`;
    await this.put(key, 'ok');
    await this.delete(key);
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.root).catch(async () => {
      await mkdir(this.root, { recursive: true });
      return statfs(this.root);
    });
    return bavail * bsize;
  }

  close(): void {
    // Holds nothing open between calls.
  }

  /** Makes a file beside the others, flushes it, and gives it its name in one step: whole or not at all. */
  async #place(key: string, write: (temporary: string) => Promise<void>): Promise<void> {
    const path = this.pathOf(key);
    const temporary = join(this.#temporary, randomUUID());
    await mkdir(this.#temporary, { recursive: true });
    await mkdir(dirname(path), { recursive: true });
    try {
      await write(temporary);
      await flush(temporary);
      await rename(temporary, path);
    } finally {
      await rm(temporary, { force: true });
    }
  }
}

async function flush(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

/** Turns "no such file" into undefined and passes every other failure on. */
function missing(error: unknown): undefined {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
  throw error;
}
