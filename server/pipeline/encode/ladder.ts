/** Which pictures to make of a source: sizes, rate, bit rates. Pure. */
import type { Config } from '../../config.ts';
import type { Source, SourceVideo } from '../../media/source.ts';

/** One size of the picture. */
export interface Rung {
  /** `v` and the short side, e.g. `v720`: its folder. */
  name: string;
  /** Even, square pixels. */
  width: number;
  height: number;
  /** Bits per second the encoder may use over `bufferSize` bits. */
  maxRate: number;
  bufferSize: number;
}

export interface FrameRate {
  value: number;
  /** As FFmpeg takes it, exact: `30000/1001`. */
  text: string;
}

/** H.264 decoders in browsers and phones take no longer sides (level 5.2). */
const LONGEST_SIDE = 4096;
const MAX_RATE = 60;
const MIN_RATE = 5;
/** A source this much larger than the rung below it gets one of its own size. */
const WORTH_ITS_OWN = 1.1;
/** 1080p at up to 30 frames per second. */
const REFERENCE = { pixels: 1920 * 1080, bitrate: 5_000_000 };

/**
 * The rungs of a source, the largest first; never empty, never larger than the source. `heights` are of the short
 * side, so portrait video gets what landscape gets. A source below the lowest rung, or between two, keeps its size.
 */
export function ladder(video: SourceVideo, heights: readonly number[]): Rung[] {
  const short = Math.min(video.width, video.height);
  const cap = Math.min(short, ...(heights.length ? [Math.max(...heights)] : []));
  const fitting = [...new Set(heights)].filter((h) => h <= short).sort((a, b) => b - a);
  const sides = cap > (fitting[0] ?? 0) * WORTH_ITS_OWN ? [cap, ...fitting] : fitting;
  const fps = frameRate(video).value;
  const rungs = sides.map((side) => rung(video, side, fps));
  return rungs.filter((r, i) => rungs.findIndex((other) => other.name === r.name) === i);
}

function rung(video: SourceVideo, side: number, fps: number): Rung {
  const { width, height } = video;
  const scale = Math.min(side / Math.min(width, height), LONGEST_SIDE / Math.max(width, height));
  const size = { width: even(width * scale, width), height: even(height * scale, height) };
  const maxRate = bitrate(size.width * size.height, fps);
  return { name: `v${Math.min(size.width, size.height)}`, ...size, maxRate, bufferSize: maxRate * 2 };
}

/**
 * Large pictures need fewer bits for each pixel: bits grow with the power 0.75 of pixels (which gives the usual
 * 5 / 2.7 / 1.5 / 1 Mb/s for 1080p to 360p), and by 40 % for twice the frames.
 */
function bitrate(pixels: number, fps: number): number {
  const bits = REFERENCE.bitrate * (pixels / REFERENCE.pixels) ** 0.75 * (fps > 31 ? 1.4 : 1);
  return Math.max(100_000, Math.round(bits / 10_000) * 10_000);
}

/** 4:2:0 needs even sides: the nearest, but none that is longer than the source's. */
function even(length: number, most: number): number {
  return Math.max(2, Math.min(Math.round(length / 2), Math.floor(most / 2)) * 2);
}

/** The constant rate to encode at: the source's own, halved until it is 60 at most. */
export function frameRate(video: SourceVideo): FrameRate {
  let rate = (video.variableFrameRate ? video.busyFrameRate : video.frameRate) || 30;
  while (rate > MAX_RATE * 1.01) rate /= 2;
  return rational(Math.max(MIN_RATE, rate));
}

/**
 * Ticks per second of pictures of a constant rate, as FFmpeg's MP4 muxer chooses them: a picture lasts a whole number
 * of them. One for all renditions of a media: players may take another one for another time line.
 */
export function timescale({ text }: FrameRate): number {
  const [top = 1, bottom = 1] = text.split('/').map(Number);
  let ticks = top / divisor(top, bottom);
  while (ticks < 10_000) ticks *= 2;
  return ticks;
}

const divisor = (a: number, b: number): number => (b ? divisor(b, a % b) : a);

/** 29.97 means 30000/1001, as every broadcast rate does; other rates are kept to a thousandth. */
function rational(rate: number): FrameRate {
  const whole = Math.round(rate);
  if (Math.abs(rate - whole) < whole * 0.0003) return { value: whole, text: String(whole) };
  const drop = Math.round((rate * 1001) / 1000);
  if (Math.abs(rate - (drop * 1000) / 1001) < rate * 0.0003)
    return { value: (drop * 1000) / 1001, text: `${drop * 1000}/1001` };
  const thousandths = Math.round(rate * 1000);
  return { value: thousandths / 1000, text: `${thousandths}/1000` };
}

/** The rungs of a source, the largest first; none of a sound. */
export const rungsOf = ({ video }: Source, heights: readonly number[]): Rung[] =>
  video ? ladder(video, heights) : [];

/**
 * Pictures of all rungs per second, in pixels, of which a small machine encodes the first seconds in time. (Two
 * cores encode 50 million pixels per second; the first segment and the encoder's delay are 3.3 s of them.)
 */
const QUICK_PIXELS = 36_000_000;

/**
 * True when the lowest rung should be encoded before the others: where encoding all of them at once would keep
 * viewers waiting, and somebody may wait (`PLAY_SOON`). It costs another decode.
 */
export function needsFirst(
  source: Source,
  { ladder: heights, playSoon }: Pick<Config['encoding'], 'ladder' | 'playSoon'>,
): boolean {
  const rungs = rungsOf(source, heights);
  if (!playSoon || !source.video || rungs.length < 2) return false;
  const pixels = rungs.reduce((sum, { width, height }) => sum + width * height, 0);
  return pixels * frameRate(source.video).value > QUICK_PIXELS;
}

/** Names of the rungs for people, e.g. `1080p, 720p and sound`. */
export function describeRungs(rungs: readonly Rung[], sounds: number): string {
  const names = [...rungs.map((r) => `${r.name.slice(1)}p`), ...(sounds ? ['sound'] : [])];
  return names.length > 1 ? `${names.slice(0, -1).join(', ')} and ${names.at(-1)}` : (names[0] ?? 'nothing');
}
