/**
 * Chunks: stretches of a long source that several workers encode at once and that are joined by a playlist alone.
 *
 * Every output has a constant frame rate, so its frames are numbered from the start of the source, and a chunk is a
 * range of frame numbers. Its encoder seeks to a frame some way before the range, drops what comes before the range,
 * and gives frames the time stamps that they have in the whole: frames, key frames, segments and initialization
 * segments then come out as if one process had encoded everything. Pure.
 */
import type { FrameRate } from './ladder.ts';
import { segmentAt } from './cuts.ts';

export interface Chunk {
  index: number;
  /** Seconds: its nominal start, at which a segment begins. */
  start: number;
  /** The first frame of the range. */
  firstFrame: number;
  /** The frame after the last one; undefined: to the end of the source. */
  endFrame: number | undefined;
  /** The frame at which decoding begins. */
  seekFrame: number;
  /** Sequence number of its first segment, from 0. */
  firstSegment: number;
  /** Seconds from the nominal start to the first frame: less than a frame. */
  lateness: number;
}

/**
 * Frames decoded and dropped before a chunk: deinterlacers look back, and a time stamp that is a little early must
 * still find its frame.
 */
const PREROLL_FRAMES = 10;

/**
 * Cuts `duration` seconds into chunks. The first one has `headSeconds`, so that something is there soon; the others end
 * at multiples of `chunkSeconds`, and the last one has from a half to one and a half of that. Both must be times at
 * which a segment begins. One chunk when the source is too short for two.
 */
export function planChunks(
  duration: number,
  rate: FrameRate,
  { headSeconds, chunkSeconds }: { headSeconds: number; chunkSeconds: number },
): Chunk[] {
  const count = Math.round(duration / chunkSeconds);
  const later = Array.from({ length: Math.max(0, count - 1) }, (_, n) => (n + 1) * chunkSeconds);
  const starts = [0, ...(count > 1 ? [headSeconds] : []), ...later];
  return starts.map((start, index) => {
    const next = starts[index + 1];
    const firstFrame = frameAt(start, rate);
    return {
      ...{ index, start, firstFrame },
      endFrame: next === undefined ? undefined : frameAt(next, rate),
      seekFrame: Math.max(0, firstFrame - PREROLL_FRAMES),
      firstSegment: segmentAt(start),
      lateness: timeOf(firstFrame, rate) - start,
    };
  });
}

/** Options before the input. The time is rounded down: a frame that begins a microsecond before it would be lost. */
export function seekOptions({ seekFrame }: Chunk, rate: FrameRate): string[] {
  if (seekFrame === 0) return [];
  return ['-ss', (Math.floor(timeOf(seekFrame, rate) * 1e6) / 1e6).toFixed(6)];
}

/** Filters after `fps`, whose time base is one frame: keep the range, under the numbers it has in the whole. */
export function rangeFilters({ firstFrame, endFrame, seekFrame }: Chunk): string[] {
  const end = endFrame === undefined ? '' : `:end_frame=${endFrame - seekFrame}`;
  return [`trim=start_frame=${firstFrame - seekFrame}${end}`, `setpts=PTS+${seekFrame}`];
}

/** Seconds that a chunk lasts; undefined for the last one. */
export const lengthOf = ({ firstFrame, endFrame }: Chunk, rate: FrameRate): number | undefined =>
  endFrame === undefined ? undefined : timeOf(endFrame - firstFrame, rate);

/** The first frame at `seconds` or after. In whole numbers: 60 s of 30000/1001 must not depend on rounding. */
function frameAt(seconds: number, rate: FrameRate): number {
  const { numerator, denominator } = fraction(rate);
  return Math.ceil((seconds * numerator) / denominator);
}

function timeOf(frame: number, rate: FrameRate): number {
  const { numerator, denominator } = fraction(rate);
  return (frame * denominator) / numerator;
}

function fraction({ text }: FrameRate): { numerator: number; denominator: number } {
  const [numerator = 0, denominator = 1] = text.split('/').map(Number);
  return { numerator, denominator };
}
