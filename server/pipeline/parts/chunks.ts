/**
 * Chunks: stretches of a long source that several workers encode at once and that are joined by a playlist alone.
 *
 * Every output has a constant frame rate, so its frames are numbered from the start of the source, and a chunk is a
 * range of frame numbers. Its encoder seeks to a frame some way before the range, drops what comes before the range,
 * and gives frames the time stamps that they have in the whole: frames, key frames, segments and initialization
 * segments then come out as if one process had encoded everything. Pure.
 */
import { SEGMENT_SECONDS } from '../../hls/media-playlist.ts';
import { segmentAt } from '../encode/cuts.ts';
import type { FrameRate } from '../encode/ladder.ts';

/** Part of a source, in seconds; without an end it goes on to that of the source. Segments begin at both. */
export interface Stretch {
  start: number;
  end?: number | undefined;
}

export interface Chunk {
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
/** Seconds of the first stretch: one segment, so that something is there soon. */
const HEAD_SECONDS = 2;
/** Stretches near the start are that long at least: shorter ones cost a start of FFmpeg and bits at their seams. */
const USUAL_SECONDS = 12;

/**
 * Cuts `duration` seconds so that `atOnce` encoders are busy from the start to the end (Polychronopoulos and Kuck, Guided
 * Self-Scheduling, 1987): a stretch is an encoder's share of what is left, so the last ones are short. None is longer
 * than `longest`, or than what lies before it: whoever watches meanwhile has that time until it must be there.
 */
export function stretches(
  duration: number,
  { longest, atOnce }: { longest: number; atOnce: number },
): Stretch[] {
  const starts = [0];
  for (let at = HEAD_SECONDS; duration - at >= SEGMENT_SECONDS / 2;) {
    starts.push(at);
    const share = (duration - at) / (atOnce + 1);
    const length = Math.min(longest, share, Math.max(USUAL_SECONDS, at));
    at =
      SEGMENT_SECONDS *
      Math.max(Math.ceil(at / SEGMENT_SECONDS) + 1, Math.round((at + length) / SEGMENT_SECONDS));
  }
  return starts.map((start, n) => ({ start, end: starts[n + 1] }));
}

/**
 * Threads of the encoder of a chunk, when so many jobs run or wait, its own among them. One each is cheapest, as long as many
 * wait. Towards the end twice the share that each would have keeps all of them at work, for a few
 * percent of their time.
 */
export function threadsOf(
  jobs: number,
  { threads, chunkThreads, processors }: { threads: number; chunkThreads: number; processors: number },
): number {
  if (threads) return threads;
  return Math.min(processors, Math.max(chunkThreads, Math.round((2 * processors) / jobs)));
}

/** The frames of a stretch. */
export function chunkOf({ start, end }: Stretch, rate: FrameRate): Chunk {
  const firstFrame = frameAt(start, rate);
  return {
    ...{ start, firstFrame },
    endFrame: end === undefined ? undefined : frameAt(end, rate),
    seekFrame: Math.max(0, firstFrame - PREROLL_FRAMES),
    firstSegment: segmentAt(start),
    lateness: timeOf(firstFrame, rate) - start,
  };
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
