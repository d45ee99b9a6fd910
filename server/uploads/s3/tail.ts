/**
 * The bytes after an upload's last whole part: a list of small objects `incoming/{id}/…`, since S3 can't append.
 *
 * Each request that ends between two parts adds a piece, and a slow one more of them (tail-checkpoints.ts). Eight pieces of one level are stored anew as one of the next
 * (like the digits of a number; log-structured merge trees call it tiering), so a byte of n requests is stored again
 * log8(n) times at most, and there are never more than seven pieces of a level. A part that becomes whole takes all.
 */
import type { UploadRow } from '../../../db/schema.ts';
import type { S3Storage } from '../../storage/s3.ts';
import { ObjectMissingError } from '../../storage/storage.ts';
import { BytesLostError } from '../problems.ts';
import { INCOMING } from './part-copies.ts';

export interface TailPiece {
  key: string;
  size: number;
  /** 0: bytes of one request. */
  level: number;
}

/** Where a piece belongs. Its length goes into its name as well: late attempts to store it can't bring other bytes. */
export interface PieceName {
  /** Of the upload. */
  id: string;
  /** Of the lease that it is stored under. */
  epoch: number;
  /** Where it ends in the upload. */
  end: number;
}

const PIECES_OF_A_LEVEL = 8;

/** The pieces in their order. */
export const piecesOf = ({ tail }: Pick<UploadRow, 'tail'>): TailPiece[] =>
  tail === null ? [] : (JSON.parse(tail) as TailPiece[]);

/** As the ledger has them. */
export const tailOf = (pieces: TailPiece[]): Pick<UploadRow, 'tail' | 'tailSize'> => ({
  tail: pieces.length ? JSON.stringify(pieces) : null,
  tailSize: sizeOf(pieces),
});

export const sizeOf = (pieces: readonly { size: number }[]): number =>
  pieces.reduce((sum, { size }) => sum + size, 0);

/** Where a request's bytes go: how many pieces stay as they are, and the level of the one that takes the others' bytes too. */
export function planPiece(pieces: readonly Pick<TailPiece, 'level'>[]): { keep: number; level: number } {
  let keep = pieces.length;
  for (let level = 0; ; level++) {
    const others = pieces.slice(0, keep).filter((piece) => piece.level > level).length;
    if (keep - others < PIECES_OF_A_LEVEL - 1) return { keep, level };
    keep = others;
  }
}

/** The objects. */
export class Tails {
  readonly #storage: S3Storage;

  constructor(storage: S3Storage) {
    this.#storage = storage;
  }

  /** Stores a piece. */
  async write(
    { id, epoch, end }: PieceName,
    bytes: Buffer,
    level: number,
    signal?: AbortSignal,
  ): Promise<TailPiece> {
    const key = `${INCOMING}${id}/${epoch}-${end}-${bytes.length}`;
    await this.#storage.put(key, bytes, {}, signal);
    return { key, size: bytes.length, level };
  }

  /**
   * Stores what `bytes`, all that the tail shall be, have beyond its `pieces`. Of the `headSize` bytes at their beginning, which
   * are the first pieces, those are read back that are stored anew. Returns the pieces that there are then.
   */
  async extend(
    pieces: readonly TailPiece[],
    named: PieceName,
    bytes: Buffer,
    headSize: number,
  ): Promise<TailPiece[]> {
    const { keep, level } = planPiece(pieces);
    const [kept, joined] = [pieces.slice(0, keep), pieces.slice(keep)];
    const start = sizeOf(kept);
    let end = start;
    const ofHead = joined.filter(({ size }) => (end += size) <= headSize);
    await this.read(ofHead, bytes.subarray(start, headSize));
    return [...kept, await this.write(named, bytes.subarray(start), level)];
  }

  /** Reads pieces back, one behind the other. Throws `BytesLostError` when one is not what the ledger says. */
  async read(pieces: readonly TailPiece[], into: Buffer): Promise<void> {
    let start = 0;
    const reads = pieces.map((piece) => this.#readPiece(piece, into.subarray(start, (start += piece.size))));
    const failed = (await Promise.allSettled(reads)).find((outcome) => outcome.status === 'rejected');
    if (failed) throw failed.reason;
  }

  async #readPiece({ key, size }: TailPiece, into: Buffer): Promise<void> {
    let read = 0;
    const body = await this.#storage.read(key).catch((error: unknown) => {
      throw error instanceof ObjectMissingError ? new BytesLostError(`${key} is gone`, error) : error;
    });
    for await (const chunk of body) {
      (chunk as Buffer).copy(into, read);
      read += (chunk as Buffer).length;
    }
    if (read === size) return;
    const message = `${key} should have ${size} bytes, but ${read} came`;
    const stored = (await this.#storage.stat(key))?.size;
    throw stored === size ? new Error(message) : new BytesLostError(message);
  }

  /** Deletes the pieces of a tail, but those that are still in use. */
  async delete(before: UploadRow, now?: UploadRow): Promise<void> {
    const used = new Set(now && piecesOf(now).map(({ key }) => key));
    const keys = piecesOf(before).map(({ key }) => key);
    await this.#storage.deleteAll(keys.filter((key) => !used.has(key)));
  }
}
