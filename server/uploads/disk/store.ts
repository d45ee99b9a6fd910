/**
 * Unfinished uploads as files in `incoming/`, on the file system of the finished objects: finishing is a rename.
 * The file is named after the upload, or as `storageId` says after a takeover from a holder that may still live.
 */
import { constants, fstatSync, write, writev, type Stats } from 'node:fs';
import { copyFile, mkdir, open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { UploadRow } from '../../../db/schema.ts';
import type { DiskStorage } from '../../storage/disk.ts';
import { Batching } from '../batching.ts';
import type { RequestBody } from '../body.ts';
import { Checkpoints } from '../checkpoints.ts';
import { joinFiles } from './concat.ts';
import { FlushAhead } from './flush-ahead.ts';
import type { UploadHooks } from '../hooks.ts';
import type { Lease, Leases } from '../ledger/leases.ts';
import { BytesLostError } from '../problems.ts';
import { LedgerStore, type StoreContext } from '../store.ts';

export class DiskStore extends LedgerStore {
  readonly #storage: DiskStorage;
  readonly #incoming: string;
  override readonly batching = new Batching();

  constructor(ctx: StoreContext, hooks: UploadHooks, leases: Leases, storage: DiskStorage) {
    super(ctx, hooks, leases);
    this.#storage = storage;
    this.#incoming = storage.pathOf('incoming');
  }

  protected override async append(lease: Lease, body: RequestBody, handBack: boolean): Promise<void> {
    const file = await this.#open(lease);
    const ahead = this.ctx.config.uploads.fsync ? new FlushAhead(file) : undefined;
    const checkpoints = new Checkpoints(lease.upload.offset, async (offset, last) => {
      await ahead?.flush();
      lease.check();
      await this.save(lease, { offset, last: last && handBack && offset !== lease.upload.length });
      return true;
    });
    const before = lease.upload.offset;
    let position = before;
    try {
      await body.drain((pieces, bytes, done) => {
        lease.check();
        checkpoints.check();
        writeAll(file.fd, pieces, bytes, position, (error) => {
          if (!error) {
            position += bytes;
            ahead?.wrote(bytes);
            if (!body.tentative) checkpoints.pass(position);
          }
          done(error);
        });
      });
    } finally {
      body.stop();
      try {
        // What a digest disproved stays behind the offset, and is cut off before the next byte is written.
        await checkpoints.end(body.kept ? position : before);
      } finally {
        await ahead?.settled();
        await file.close();
      }
    }
  }

  /** The file is where it has to be. */
  override async close(): Promise<void> {}

  override async concatenate(lease: Lease, partials: UploadRow[]): Promise<void> {
    const { upload } = lease;
    if ((await sizeOf(this.#storage.pathOf(upload.key))) === upload.length) return; // it is in its place already
    const files = partials.map(({ key, offset }) => ({ path: this.#storage.pathOf(key), size: offset }));
    await mkdir(this.#incoming, { recursive: true });
    await joinFiles(this.#pathOf(upload), files, () => lease.check()).catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT' || !files[0]) throw error;
        return lost(files[0].path, error);
      },
    );
  }

  override async assemble({ upload }: Lease): Promise<void> {
    const source = this.#pathOf(upload);
    const target = this.#storage.pathOf(upload.key);
    const waiting = await sizeOf(source);
    if (waiting === undefined && upload.length === 0)
      await this.#openNew(source).then((file) => file.close());
    if (waiting !== undefined || upload.length === 0) {
      await cutTo(upload, source, waiting ?? 0);
      await mkdir(dirname(target), { recursive: true });
      await rename(source, target);
      await this.#flush(dirname(target), dirname(dirname(target)), this.#incoming);
    }
    const size = await sizeOf(target);
    if (size === undefined) await lost(source);
    if (size !== upload.length) throw damaged(upload, size);
  }

  /** It was renamed: nothing is left. */
  override async tidy(): Promise<void> {}

  override async discardBytes(upload: UploadRow): Promise<void> {
    await rm(this.#pathOf(upload), { force: true });
    await rm(this.#storage.pathOf(upload.key), { force: true });
  }

  override async removeStrays(): Promise<void> {
    for (const name of await readdir(this.#incoming).catch(() => [])) {
      const found = await stat(join(this.#incoming, name)).catch(() => undefined);
      if (!found || Date.now() - found.mtimeMs < this.ctx.strayAfterMs) continue;
      const row = await this.ctx.db
        .selectFrom('upload')
        .select(['id', 'storageId'])
        .where('id', '=', name.split('.')[0] ?? '')
        .where('state', 'in', ['receiving', 'assembling'])
        .executeTakeFirst();
      if (!row || nameOf(row) !== name) await rm(join(this.#incoming, name), { force: true });
    }
  }

  #pathOf(upload: UploadRow): string {
    return join(this.#incoming, nameOf(upload));
  }

  /** The upload's file, holding exactly the bytes the ledger knows. */
  async #open(lease: Lease): Promise<FileHandle> {
    if (lease.usurped) await this.#moveAway(lease);
    const { upload } = lease;
    const path = this.#pathOf(upload);
    const file = await (upload.offset > 0 ? reopen(path) : this.#openNew(path));
    try {
      if (upload.offset === 0) await this.#flush(this.#incoming);
      const { size } = fstatSync(file.fd); // of an open file the kernel knows it: no trip to another thread
      if (size < upload.offset) throw damaged(upload, size);
      if (size > upload.offset) await file.truncate(upload.offset);
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** A holder that is only paused may yet write into its file or cut it: go on in a copy it does not know of. */
  async #moveAway(lease: Lease): Promise<void> {
    const { id, epoch, offset } = lease.upload;
    const old = this.#pathOf(lease.upload);
    const storageId = `${id}.${epoch}`;
    if (offset > 0) {
      await copyFile(old, join(this.#incoming, storageId)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
        return lost(old, error);
      });
      const copy = await open(join(this.#incoming, storageId), 'r');
      await copy.sync().finally(() => copy.close());
      await this.#flush(this.#incoming);
    }
    await this.save(lease, { storageId });
    await rm(old, { force: true });
  }

  /** The file of an upload that has no bytes yet, which an earlier request may have made already. */
  #openNew(path: string): Promise<FileHandle> {
    const made = (): Promise<FileHandle> => open(path, constants.O_RDWR | constants.O_CREAT);
    return made().catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
      await mkdir(this.#incoming, { recursive: true });
      return made();
    });
  }

  /** Makes names durable: an fsync of a file does not cover its entry in the folder. */
  async #flush(...folders: string[]): Promise<void> {
    if (!this.ctx.config.uploads.fsync) return;
    for (const folder of folders) {
      const handle = await open(folder, 'r');
      await handle.sync().finally(() => handle.close());
    }
  }
}

/** With callbacks: at 64 KiB a write, promises would be a good part of what an upload costs. */
function writeAll(
  fd: number,
  pieces: Buffer[],
  bytes: number,
  position: number,
  done: (error: Error | null) => void,
): void {
  const onWritten = (error: Error | null, written: number): void => {
    if (error || written === bytes) return done(error);
    // A write is cut short when the disk fills up or a signal comes; the rest says which.
    const rest = Buffer.concat(pieces).subarray(written);
    writeAll(fd, [rest], rest.length, position + written, done);
  };
  const [first] = pieces;
  if (pieces.length === 1 && first) write(fd, first, 0, bytes, position, onWritten);
  else writev(fd, pieces, position, onWritten);
}

/** Where the bytes of an unfinished upload are. */
export const incomingKey = (upload: Pick<UploadRow, 'id' | 'storageId'>): string =>
  `incoming/${nameOf(upload)}`;

const nameOf = ({ id, storageId }: Pick<UploadRow, 'id' | 'storageId'>): string => storageId ?? id;

const sizeOf = async (path: string): Promise<number | undefined> =>
  (
    await stat(path).catch((error: NodeJS.ErrnoException): Stats | undefined => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    })
  )?.size;

/** Bytes behind the last one were never promised: a digest disproved them, or a crash came before their commit. */
async function cutTo(upload: UploadRow, path: string, size: number): Promise<void> {
  const length = upload.length ?? 0;
  if (size < length) throw damaged(upload, size);
  if (size === length) return;
  const file = await open(path, 'r+');
  try {
    await file.truncate(length);
    await file.datasync();
  } finally {
    await file.close();
  }
}

const reopen = (path: string): Promise<FileHandle> =>
  open(path, 'r+').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    return lost(path, error);
  });

/** A file that is not there is lost, unless its folder is away as well: then the disk may not be mounted. */
async function lost(path: string, cause?: unknown): Promise<never> {
  await stat(dirname(path));
  throw new BytesLostError(`${path} is gone`, cause);
}

const damaged = ({ id, offset }: UploadRow, found: number | undefined): Error =>
  new BytesLostError(`upload ${id} should have ${offset} bytes on disk, but ${found ?? 'no file'} is there`);
