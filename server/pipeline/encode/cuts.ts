/** Where pieces that FFmpeg writes become segments. Pure. */
import { SEGMENT_SECONDS } from '../../hls/media-playlist.ts';

/** Seconds between the key frames that we make, each of which begins a piece of FFmpeg's; but the first come sooner. */
export const KEY_FRAME_SECONDS = 2;
/** Seconds of the first piece, which is the first segment; the second one ends after as many again. */
export const FIRST_SECONDS = 0.5;
/**
 * Seconds at which the first segments end: so that playing can start, and each is there in time where a machine makes not much more than
 * is watched.
 */
const FIRST_CUTS = [FIRST_SECONDS, 2 * FIRST_SECONDS, 2, 4, 6, 8];
/** Pieces are a frame longer or shorter than they should be. */
const TOLERANCE = 0.1;

/**
 * Seconds from the start: where the segment that begins at `time` should end, which is at ½, 1, 2, 4, 6, 8, 12, 18 … All
 * renditions are cut by the same rule; of sounds, which have longer pieces, the first cuts are left out.
 */
export function nextCut(time: number): number {
  const reached = time + TOLERANCE;
  const first = FIRST_CUTS.find((cut) => cut > reached);
  return first ?? (Math.floor(reached / SEGMENT_SECONDS) + 1) * SEGMENT_SECONDS;
}

/**
 * FFmpeg's expression for the time of the next key frame, in seconds from the start of the whole, by the number of those that
 * were made (`n_forced`): where segments may be cut.
 */
export const KEY_FRAME_TIMES = `max(${KEY_FRAME_SECONDS}*(n_forced-2),min(n_forced,2)*${FIRST_SECONDS})`;

/** Number, from 0, of the segment that begins at `time`, at which one must begin. */
export function segmentAt(time: number): number {
  let number = 0;
  for (let cut = 0; cut < time; cut = nextCut(cut)) number++;
  return number;
}

/** Seconds that a segment lasts at most, where it can be helped: those that round to the target. */
export const LONGEST_SEGMENT = SEGMENT_SECONDS + 0.49;

/** Seconds that are no segment of their own at the end: more than a picture at 5 per second, and within LONGEST_SEGMENT. */
const CRUMB = 0.3;

/** Collects the pieces of one rendition and gives them back as segments. */
export interface PieceCutter<T> {
  /** Takes the next piece; returns the pieces of each segment that is complete now. */
  add(piece: T): T[][];
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

  add(piece: T): T[][] {
    const full = this.#seconds() + piece.duration > LONGEST_SEGMENT ? this.end() : undefined;
    this.#waiting.push(piece);
    if (full) return [full];
    const wanted = this.#time + TOLERANCE < SEGMENT_SECONDS ? KEY_FRAME_SECONDS : SEGMENT_SECONDS;
    return this.#seconds() + TOLERANCE >= wanted ? listed(this.end()) : [];
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
  readonly #end: number;

  /**
   * `start`: seconds at which the first piece begins. `end`: those at which the last one should end. A sound outlasts its
   * picture by a part of a frame, and either may have a picture or two behind the last cut: such a crumb joins the segment
   * before it, in all renditions. What goes on in spite of `end` is cut where it should be.
   */
  constructor(start = 0, end = Infinity) {
    this.#time = start;
    this.#cut = nextCut(start);
    this.#end = end;
  }

  add(piece: T): T[][] {
    const held = this.#reached() && piece.duration > CRUMB ? this.#flush() : [];
    this.#waiting.push(piece);
    this.#time += piece.duration;
    // A piece may reach beyond the next cut: sounds have pieces of 1 or 2 s where the first cut is at half a second.
    for (let next = nextCut(this.#cut); next <= this.#time + TOLERANCE; next = nextCut(next))
      this.#cut = next;
    const last = Math.abs(this.#cut - this.#end) < CRUMB;
    return this.#reached() && !last ? [...held, ...this.#flush()] : held;
  }

  end(): T[] | undefined {
    const whole = this.#waiting;
    this.#waiting = [];
    return whole.length ? whole : undefined;
  }

  #reached(): boolean {
    return this.#time >= this.#cut - TOLERANCE;
  }

  #flush(): T[][] {
    this.#cut = nextCut(this.#time);
    return listed(this.end());
  }
}

const listed = <T>(segment: T[] | undefined): T[][] => (segment ? [segment] : []);
