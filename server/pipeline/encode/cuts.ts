/** Where pieces that FFmpeg writes become segments. Pure. */
import { SEGMENT_SECONDS } from '../../hls/media-playlist.ts';

/** Seconds: FFmpeg's pieces, each of which begins with a key frame. */
export const PIECE_SECONDS = 2;
/** Pieces are a frame longer or shorter than they should be. */
const TOLERANCE = 0.1;

/**
 * Seconds from the start: where the segment that begins at `time` should end. The first three are short, so that
 * playing can start; all renditions are cut by the same rule, and so at the same times.
 */
export function nextCut(time: number): number {
  const step = time + TOLERANCE < SEGMENT_SECONDS ? PIECE_SECONDS : SEGMENT_SECONDS;
  return (Math.floor((time + TOLERANCE) / step) + 1) * step;
}

/** Number, from 0, of the segment that begins at `time`, at which one must begin. */
export function segmentAt(time: number): number {
  let number = 0;
  for (let cut = 0; cut < time; cut = nextCut(cut)) number++;
  return number;
}

/** Seconds that a segment lasts at most, where it can be helped: those that round to the target. */
export const LONGEST_SEGMENT = SEGMENT_SECONDS + 0.49;

/** Collects the pieces of one rendition and gives them back as segments. */
export interface PieceCutter<T> {
  /** Takes the next piece; returns the pieces of a segment that is complete. */
  add(piece: T): T[] | undefined;
  /** What is left when no piece follows. */
  end(): T[] | undefined;
}

/**
 * For pieces that begin where a source has its key frames: as many as fit into a segment. The first segments are short
 * here, too.
 */
export class FreeCutter<T extends { duration: number }> implements PieceCutter<T> {
  #time = 0;
  #waiting: T[] = [];

  add(piece: T): T[] | undefined {
    const full = this.#seconds() + piece.duration > LONGEST_SEGMENT ? this.end() : undefined;
    this.#waiting.push(piece);
    const wanted = this.#time + TOLERANCE < SEGMENT_SECONDS ? PIECE_SECONDS : SEGMENT_SECONDS;
    return full ?? (this.#seconds() + TOLERANCE >= wanted ? this.end() : undefined);
  }

  end(): T[] | undefined {
    const whole = this.#waiting;
    this.#time += this.#seconds();
    this.#waiting = [];
    return whole.length ? whole : undefined;
  }

  #seconds(): number {
    return this.#waiting.reduce((sum, { duration }) => sum + duration, 0);
  }
}

/** For pieces that begin at known times: all renditions are cut alike. */
export class Cutter<T extends { duration: number }> implements PieceCutter<T> {
  #time: number;
  #cut: number;
  #waiting: T[] = [];

  /** `start`: seconds at which the first piece begins. */
  constructor(start = 0) {
    this.#time = start;
    this.#cut = nextCut(start);
  }

  add(piece: T): T[] | undefined {
    this.#waiting.push(piece);
    this.#time += piece.duration;
    if (this.#time < this.#cut - TOLERANCE) return undefined;
    this.#cut = nextCut(this.#time);
    return this.end();
  }

  end(): T[] | undefined {
    const whole = this.#waiting;
    this.#waiting = [];
    return whole.length ? whole : undefined;
  }
}
