/** Where pieces that FFmpeg writes become segments. Pure. */
import { SEGMENT_SECONDS } from '../hls/media-playlist.ts';

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

/** Collects the pieces of one rendition and gives them back as segments. */
export class Cutter<T extends { duration: number }> {
  #time: number;
  #cut: number;
  #waiting: T[] = [];

  /** `start`: seconds at which the first piece begins. */
  constructor(start = 0) {
    this.#time = start;
    this.#cut = nextCut(start);
  }

  /** Takes the next piece; returns the pieces of the segment that it completes. */
  add(piece: T): T[] | undefined {
    this.#waiting.push(piece);
    this.#time += piece.duration;
    if (this.#time < this.#cut - TOLERANCE) return undefined;
    this.#cut = nextCut(this.#time);
    return this.end();
  }

  /** What is left when no piece follows. */
  end(): T[] | undefined {
    const whole = this.#waiting;
    this.#waiting = [];
    return whole.length ? whole : undefined;
  }
}
