/** When a source's streams begin and end and how even its pictures are, from its header or from its packets. */
import type { SourceVideo } from '../../media/source.ts';
import { describeVideo, type Chosen, type Probed, type ProbedStream, type Span } from './describe.ts';
import type { StreamScan } from './scan.ts';

/** Sound may outlast the picture by this many seconds before the header's word is checked. */
const LONG = 60;
/** Rates that screens and encoders are made for. */
const COMMON_RATES = [5, 10, 12, 15, 20, 24, 25, 30, 50, 60];
const KNOWN_RATES = [...COMMON_RATES, 23.976, 29.97, 59.94, 48, 100, 119.88, 120, 144, 240];
/** Less than a picture per second, for longer than a minute: a still image, slides, a sound with a cover. */
const STILL_RATE = 5;

/**
 * True when packets must be counted. Only the header of MP4 is trusted (its sample table is what players use), and
 * only when pictures come evenly and no stream outlasts the picture by far.
 */
export function needsScan(probed: Probed, { video, audio }: Chosen): boolean {
  if (!probed.format.format_name.startsWith('mov')) return true;
  const spans = [...(video ? [video] : []), ...audio].map((s) => headerSpan(probed, s));
  const end = Math.max(...spans.map((s) => s?.end ?? Infinity));
  if (!video || !Number.isFinite(end)) return true;
  const span = headerSpan(probed, video) ?? { start: 0, end: 0 };
  return describeVideo(video, span).variableFrameRate || end - span.end > LONG;
}

/** What the header says of a stream; undefined when it doesn't. */
export function headerSpan(probed: Probed, stream: ProbedStream): Span | undefined {
  if (!stream.duration) return undefined;
  const start = (stream.start_time ?? 0) - (probed.format.start_time ?? 0);
  return { start, end: start + stream.duration };
}

/** What the packets say of a stream. */
export function scannedSpan(probed: Probed, scan: StreamScan): Span {
  const zero = probed.format.start_time ?? 0;
  return { start: scan.start - zero, end: scan.end - zero };
}

/** The video with what its packets say about its rate: containers may state one that the pictures don't keep. */
export function withTiming(video: SourceVideo, scan?: StreamScan): SourceVideo {
  // Interlaced packets may hold single fields: counting them says nothing about frames.
  if (!scan || video.interlaced) return video;
  const stated = !video.variableFrameRate && Math.abs(scan.rate - video.frameRate) <= video.frameRate * 0.02;
  if (stated) return video;
  const even = scan.packets > 2 && scan.longestGap < 1.6 * scan.medianInterval;
  const frameRate = Math.round(scan.rate * 1000) / 1000;
  return even
    ? { ...video, frameRate: known(frameRate), variableFrameRate: false }
    : { ...video, frameRate, variableFrameRate: true, busyFrameRate: busyRate(scan) };
}

/** The rate that was meant: counting is off by a frame, and time stamps may be rounded to milliseconds. */
function known(rate: number): number {
  const nearest = KNOWN_RATES.reduce((a, b) => (Math.abs(b - rate) < Math.abs(a - rate) ? b : a));
  return Math.abs(nearest - rate) < rate * 0.01 ? nearest : rate;
}

function busyRate(scan: StreamScan): number {
  if (scan.rate < 1 && scan.end - scan.start > 60) return STILL_RATE;
  const usual = scan.medianInterval > 0 ? 1 / scan.medianInterval : 0;
  return COMMON_RATES.find((rate) => rate >= usual * 0.95) ?? 60;
}

/** Seconds in which there is neither sound nor picture: what a damaged or malicious clock makes of a short file. */
export function longestHole(duration: number, video?: StreamScan, audio: readonly StreamScan[] = []): number {
  const sound = Math.max(0, ...audio.map((a) => a.filled));
  const soundless = duration - sound;
  const picture = video ? Math.max(video.longestGap, duration - (video.end - video.start)) : duration;
  return Math.min(soundless, picture);
}
