/**
 * Uploads that were fetched from remote storage, for the next job of the same media: a long one has dozens, and each would
 * fetch it again.
 *
 * A file is shared by hard links: one in the scratch folder of every attempt that reads it, and one in a folder of ours
 * as long as it is kept. So the file system counts the readers, also those of other processes with the same SCRATCH_DIR,
 * and the bytes are there once, until the last link goes.
 */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { link, mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Milliseconds for which a source is kept when no attempt of its media runs: they follow each other. */
const IDLE_MS = 60_000;
/** File systems without hard links: nothing is kept there. */
const NO_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EXDEV']);

export class KeptSources {
  readonly #scratchDir: string;
  /** How many run, by media. */
  readonly #attempts = new Map<string, number>();
  /** Those of ours that are kept, with what ends that when no attempt runs. */
  readonly #kept = new Map<string, NodeJS.Timeout | undefined>();
  readonly #downloads = new Map<string, Promise<void>>();

  constructor(scratchDir: string) {
    this.#scratchDir = scratchDir;
  }

  /**
   * Runs `work` of an attempt, in whose scratch folder `held` bytes of the source lie already; no `folder`: it does not
   * read the source. When it fails, e.g. because it was cancelled, and no other runs, nothing is kept for a next one.
   */
  async working<T>(
    mediaId: string,
    folder: string | undefined,
    work: (held: number) => Promise<T>,
  ): Promise<T> {
    this.#count(mediaId, 1);
    let failed = true;
    try {
      const there = folder !== undefined && (await this.#take(mediaId, folder));
      const result = await work(there ? (await stat(sourceIn(folder))).size : 0);
      failed = false;
      return result;
    } finally {
      this.#count(mediaId, -1);
      if (failed && !this.#attempts.has(mediaId)) await this.#drop(mediaId);
    }
  }

  /**
   * Path of the source in `folder`. `download` puts it there, unless another attempt has it or is fetching it. Throws
   * what `download` throws, and when `signal` aborts while it waits for another's.
   */
  async fetch(
    mediaId: string,
    folder: string,
    download: () => Promise<unknown>,
    signal: AbortSignal,
  ): Promise<string> {
    const path = sourceIn(folder);
    if (existsSync(path)) return path;
    for (let other; (other = this.#downloads.get(mediaId));) {
      // When it fails, its own attempt is told, and this one tries for itself.
      await Promise.race([other.catch(() => undefined), aborted(signal)]);
      signal.throwIfAborted();
      if (await this.#take(mediaId, folder)) return path;
    }
    const own = this.#download(mediaId, path, download).finally(() => this.#downloads.delete(mediaId));
    this.#downloads.set(mediaId, own);
    await own;
    return path;
  }

  /** Keeps nothing more. Attempts that still run have links of their own. */
  async close(): Promise<void> {
    for (const mediaId of [...this.#kept.keys()]) await this.#drop(mediaId);
  }

  async #download(mediaId: string, path: string, download: () => Promise<unknown>): Promise<void> {
    // Room is for what is worked on.
    for (const idle of [...this.#kept.keys()]) if (!this.#attempts.has(idle)) await this.#drop(idle);
    await download();
    const folder = this.#folderOf(mediaId);
    await mkdir(folder, { recursive: true });
    this.#kept.set(mediaId, undefined);
    if (!(await linked(path, sourceIn(folder)))) await this.#drop(mediaId);
    this.#count(mediaId, 0);
  }

  /** True when the kept source lies in `folder` now. */
  #take(mediaId: string, folder: string): Promise<boolean> {
    return linked(sourceIn(this.#folderOf(mediaId)), sourceIn(folder));
  }

  #count(mediaId: string, change: number): void {
    const attempts = (this.#attempts.get(mediaId) ?? 0) + change;
    if (attempts) this.#attempts.set(mediaId, attempts);
    else this.#attempts.delete(mediaId);
    if (!this.#kept.has(mediaId)) return;
    clearTimeout(this.#kept.get(mediaId));
    const drop = (): void => void this.#drop(mediaId).catch(() => undefined); // the next start removes it
    this.#kept.set(mediaId, attempts ? undefined : setTimeout(drop, IDLE_MS).unref());
  }

  async #drop(mediaId: string): Promise<void> {
    clearTimeout(this.#kept.get(mediaId));
    this.#kept.delete(mediaId);
    await rm(this.#folderOf(mediaId), { recursive: true, force: true });
  }

  /** Named like the folder of an attempt that doesn't run: so the next start removes what a killed process left. */
  #folderOf(mediaId: string): string {
    return join(this.#scratchDir, `${mediaId}-0`);
  }
}

/** As `Storage.localPath` names it. */
const sourceIn = (folder: string): string => join(folder, 'source');

const aborted = (signal: AbortSignal): Promise<unknown> =>
  signal.aborted ? Promise.resolve() : once(signal, 'abort');

/** Gives a file a second name. False when it isn't there, or can't have one. */
async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return true;
    if (code === 'ENOENT' || NO_LINKS.has(code)) return false;
    throw error;
  }
}
