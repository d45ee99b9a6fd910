/**
 * Chunks: stretches of a long source that several workers encode at once and that are joined by a playlist alone.
 *
 * Every output has a constant frame rate, so its frames are numbered from the start of the source, and a chunk is a
 * range of frame numbers. Its encoder seeks to a frame some way before the range, drops what comes before the range,
 * and gives frames the time stamps that they have in the whole: frames, key frames, segments and initialization
 * segments then come out as if one process had encoded everything. Pure.
 */
import { MOST_THREADS } from '../../encoding-config.ts';
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

/** Of each core: with more of them no core will be idle at the end of one stream. */
export const MANY_JOBS = 4;
/** Of a core: what is left counts as even. */
const TOLERANCE = 0.1;
/** A stretch may be so many seconds longer or shorter than it should be for each second less of run-up. */
const RUN_UP_WORTH = 4;

/**
 * Frames decoded and dropped before a chunk: deinterlacers look back, and a time stamp that is a little early must
 * still find its frame.
 */
const PREROLL_FRAMES = 10;
/** Seconds of the first stretch: three short segments, so that something is there soon. */
const HEAD_SECONDS = 2;
/** Stretches near the start are that long at least: shorter ones cost a start of FFmpeg and bits at their seams. */
const USUAL_SECONDS = 12;

export interface Cutting {
  /** Seconds of the longest stretch. */
  longest: number;
  /** Encoders that work side by side. */
  atOnce: number;
  /** Threads that all encoders have; 0: as many as it takes (`threadsOf`). */
  threads: number;
  /** Seconds that are decoded for nothing when a stretch begins at this time. */
  runUp?: (start: number) => number;
}

/**
 * Cuts `duration` seconds so that `atOnce` encoders are busy from the start to the end (Polychronopoulos and Kuck, Guided
 * Self-Scheduling, 1987): a stretch is an encoder's share of what is left, so the last ones are short. None is much longer
 * than `longest`, or than what lies before it: whoever watches meanwhile has that time until it must be there. It may
 * be half as long again or half as long, where the run-up of the next one is the shorter for it.
 */
export function stretches(
  duration: number,
  { longest, atOnce, threads, runUp = () => 0 }: Cutting,
): Stretch[] {
  const starts = [0];
  /** Enough is left for another stretch. */
  const isWorthIt = (start: number): boolean => duration - start >= SEGMENT_SECONDS / 2;
  for (let at = HEAD_SECONDS; isWorthIt(at);) {
    starts.push(at);
    const share = (duration - at) / (atOnce + 1);
    const length = Math.min(longest, share, Math.max(USUAL_SECONDS, at));
    // A last stretch that is too long keeps all others waiting, unless it can have their threads.
    const worth = threads && length === share ? 1 : RUN_UP_WORTH;
    const costs = (end: number): number =>
      (isWorthIt(end) ? runUp(end) : 0) + Math.abs(Math.min(end, duration) - at - length) / worth;
    at = endsOf(at, length).reduce((best, end) => (costs(end) < costs(best) ? end : best));
  }
  return starts.map((start, n) => ({ start, end: starts[n + 1] }));
}

/** Where a stretch from `at` may end, about `length` seconds later: where a segment begins, but not the very next one. */
function endsOf(at: number, length: number): number[] {
  const next = Math.ceil(at / SEGMENT_SECONDS) + 1;
  const usual = Math.max(next, Math.round((at + length) / SEGMENT_SECONDS));
  const reach = Math.max(1, Math.round(length / 2 / SEGMENT_SECONDS));
  const around = Array.from({ length: 2 * reach + 1 }, (_, n) => usual - reach + n);
  return [usual, ...around.filter((end) => end >= next)].map((end) => end * SEGMENT_SECONDS);
}

/** Seconds at which stretches may begin after the second one: everywhere where a segment of the usual length does. */
export const borders = (duration: number): number[] =>
  Array.from(
    { length: Math.max(0, Math.ceil(duration / SEGMENT_SECONDS) - 1) },
    (_, n) => (n + 1) * SEGMENT_SECONDS,
  );

/** What is left of a stream when one of its stretches is begun, by the length of that. */
export interface Share {
  /** Seconds of the stretch. */
  length: number;
  /** Seconds from its start to the end of the stream. */
  left: number;
}

/**
 * Threads of the encoder of a chunk, when so many jobs run or wait, its own among them. One each is cheapest, as long as many
 * wait. Towards the end twice the share that each would have keeps all of them at work, for a few
 * percent of their time; a chunk that is longer than others has its share of what is left.
 */
export function threadsOf(
  jobs: number,
  { partThreads, chunkThreads, processors }: Record<'partThreads' | 'chunkThreads' | 'processors', number>,
  { length, left }: Share,
): number {
  if (partThreads) return partThreads;
  const even = Math.round((2 * processors) / jobs);
  const share = jobs >= MANY_JOBS * processors ? 0 : Math.ceil((processors * length) / left - TOLERANCE);
  return Math.min(processors, MOST_THREADS, Math.max(chunkThreads, even, share));
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

/** Seconds that the encoder of a chunk seeks, rounded down: a frame that begins a microsecond before it would be lost. */
export const seekTime = ({ seekFrame }: Chunk, rate: FrameRate): number =>
  Math.floor(timeOf(seekFrame, rate) * 1e6) / 1e6;

/**
 * Options before the input. Pictures keep the times that they have in the whole. (The filter `setpts`, which could give them
 * those, takes how long they last away since FFmpeg 7: then the last one is missing in the length of a segment.)
 */
export const seekOptions = (chunk: Chunk, rate: FrameRate): string[] =>
  chunk.seekFrame === 0 ? [] : ['-copyts', '-start_at_zero', '-ss', seekTime(chunk, rate).toFixed(6)];

/** Keeps the range, after `fps`, which began at the frame that was sought. */
export function rangeFilter({ firstFrame, endFrame, seekFrame }: Chunk): string {
  const end = endFrame === undefined ? '' : `:end_frame=${endFrame - seekFrame}`;
  return `trim=start_frame=${firstFrame - seekFrame}${end}`;
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
