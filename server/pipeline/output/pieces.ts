/** Follows what FFmpeg writes of one rendition, piece by piece. */
import { open, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { joinPieces, readFragments, timescaleOf } from '../../hls/fragments.ts';
import type { KeyFrame } from '../../hls/model.ts';
import type { PieceCutter } from '../encode/cuts.ts';
import { diskFull } from '../failures.ts';
import { missingBytes } from '../source/truncation.ts';

export interface Piece {
  path: string;
  /** Seconds. */
  duration: number;
}

/** A segment before it is stored: one file of FFmpeg's, or several to be joined. */
export type Segment = readonly Piece[];

/**
 * Reads FFmpeg's growing index.m3u8 in `folder`. Where a disk is full, FFmpeg's HLS muxer writes as much as there is room for,
 * says nothing, and ends well: so what is cut off is refused here.
 */
export class PieceReader {
  readonly folder: string;
  readonly #cutter: PieceCutter<Piece>;
  #known = 0;
  #changedAt = 0;
  readonly #measuresLast: boolean;

  /**
   * `measuresLast`: of pictures that were not encoded. FFmpeg adds up what their packets say they last, which Matroska cuts
   * down to whole milliseconds: at 60 per second that is 4 % too little. (All pieces but the last end where the next begins.)
   */
  constructor(folder: string, cutter: PieceCutter<Piece>, measuresLast = false) {
    this.folder = folder;
    this.#cutter = cutter;
    this.#measuresLast = measuresLast;
  }

  /** The segments that were completed since it was asked last; with `all` also what is left. */
  async next(all: boolean): Promise<Segment[]> {
    const pieces = await this.#pieces(all);
    const segments = pieces.flatMap((piece) => this.#cutter.add(piece));
    const rest = all ? this.#cutter.end() : undefined;
    return rest ? [...segments, rest] : segments;
  }

  async #pieces(all: boolean): Promise<Piece[]> {
    const file = join(this.folder, 'index.m3u8');
    const found = await stat(file).catch(absent);
    if (!found || (found.mtimeMs === this.#changedAt && !all)) return [];
    this.#changedAt = found.mtimeMs;
    const text = await readFile(file, 'utf8');
    const entries = [...text.matchAll(/^#EXTINF:([\d.]+),[^\n]*\n(\d+\.m4s)\n/gm)];
    const fresh = entries.slice(this.#known);
    this.#known = entries.length;
    const pieces = fresh.map(([, duration, name = '']) => ({
      path: join(this.folder, name),
      duration: Number(duration),
    }));
    if (all && !isOver(text)) throw diskFull();
    for (const { path } of pieces) if (await isCut(path)) throw diskFull();
    const last = isOver(text) ? pieces.at(-1) : undefined;
    if (last && this.#measuresLast) last.duration = await this.#shownSeconds(last.path);
    return pieces;
  }

  async #shownSeconds(path: string): Promise<number> {
    const ticks = timescaleOf(await readFile(join(this.folder, 'init.mp4')));
    const times = readFragments(await headOf(path)).map(({ shown }) => shown);
    return (Math.max(...times.map(({ to }) => to)) - Math.min(...times.map(({ from }) => from))) / ticks;
  }
}

/** A piece of which not everything that its boxes announce could be written. */
async function isCut(path: string): Promise<boolean> {
  const { size } = await stat(path);
  return size === 0 || (await missingBytes(path, size)) > 0;
}

/** FFmpeg has written the last piece. */
const isOver = (playlist: string): boolean => playlist.includes('#EXT-X-ENDLIST');

/** The bytes of a segment of several pieces; undefined when its only piece can be stored as it is. */
export async function joined(segment: Segment): Promise<Buffer | undefined> {
  if (segment.length === 1) return undefined;
  return joinPieces(await Promise.all(segment.map(({ path }) => readFile(path))));
}

/** Movie fragment headers of several minutes are smaller. */
const HEAD_BYTES = 256 * 1024;

/** Where the key frames of a segment lie: one at the start of each piece. `bytes` are those of `joined`. */
export async function keyFramesOf(segment: Segment, bytes: Buffer | undefined): Promise<KeyFrame[]> {
  const fragments = readFragments(bytes ?? (await headOf(segment[0]?.path ?? '')));
  return segment.flatMap(({ duration }, n) => {
    const fragment = fragments[n];
    return fragment?.startsWithSync
      ? [{ offset: fragment.offset, bytes: fragment.firstSampleBytes, duration }]
      : [];
  });
}

/** The first bytes of a file. */
export async function headOf(path: string): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Scratch space is for what comes next. */
export async function discard(segment: Segment): Promise<void> {
  await Promise.all(segment.map(({ path }) => rm(path, { force: true })));
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
