/** Whether browsers play a source's picture and sound as they are, and for how long. Pure. */
import type { Config } from '../../config.ts';
import type { HlsDetails, StoredSegment } from '../../hls/model.ts';
import type { Source, SourceAudio } from '../../media/source.ts';
import { LONGEST_SEGMENT } from './cuts.ts';
import { rungsOf } from './ladder.ts';

/** 8 bit 4:2:0 H.264 profiles of every decoder in use. */
const PROFILES = new Set(['Baseline', 'Constrained Baseline', 'Main', 'High']);
const LONGEST_SIDE = 4096;
const MAX_RATE = 61;
/** Bits per second of the whole file that a good connection carries. */
const MAX_BITRATE = 40_000_000;
/** Containers whose time stamps are those that the encoder gave. */
const CONTAINERS = /^(mov|matroska|mpegts|flv)/;

/** The picture plays everywhere, upright and in its shape. Whether it can be cut, its key frames say. */
export function copyable({ video, container, bitrate, duration }: Source): boolean {
  if (!video || !CONTAINERS.test(container) || duration <= 0) return false;
  const { codec, profile, pixelFormat, rotation, mirrored, interlaced, hdr, width, height } = video;
  return (
    codec === 'h264' &&
    PROFILES.has(profile ?? '') &&
    (pixelFormat === 'yuv420p' || pixelFormat === 'yuvj420p') &&
    !interlaced &&
    !hdr &&
    rotation === 0 &&
    !mirrored &&
    width === video.codedWidth &&
    height === video.codedHeight &&
    width % 2 === 0 &&
    height % 2 === 0 &&
    Math.max(width, height) <= LONGEST_SIDE &&
    video.frameRate > 0 &&
    video.frameRate <= MAX_RATE &&
    (bitrate ?? 0) <= MAX_BITRATE
  );
}

/** Bits per second that a copy may have for each that the encoder may use. */
const RATE_TOLERANCE = 2;
/** Bits per second of a sound that slow connections carry: Apple's authoring specification, 9.22. */
const SOUND_RATE = 200_000;
const KEPT_RATE = 60.01;

type Settings = Pick<Config['encoding'], 'ladder' | 'keepCopy'>;

/**
 * By its header the source's own picture could be the top rung, for good: as large, about as many bits, pictures at
 * even times. What was cut out of it decides (`isKept`).
 */
export function mayKeep(source: Source, { ladder, keepCopy }: Settings): boolean {
  const { video, bitrate = 0 } = source;
  const [top] = rungsOf(source, ladder);
  if (!keepCopy || !video || !top || !copyable(source)) return false;
  return (
    top.width === video.width &&
    top.height === video.height &&
    !video.variableFrameRate &&
    video.frameRate <= KEPT_RATE &&
    bitrate <= RATE_TOLERANCE * (top.maxRate + SOUND_RATE * source.audio.length)
  );
}

/**
 * What was cut out keeps the rules of a rung: segments within the target duration, and a peak of at most twice the
 * average (Apple's authoring specification, 7.5 and 9.13).
 */
export function isKept(
  source: Source,
  settings: Settings,
  { variants, audio }: HlsDetails,
  segments: readonly StoredSegment[],
): boolean {
  const [picture] = variants;
  const [top] = rungsOf(source, settings.ladder);
  if (!mayKeep(source, settings) || !picture || !top) return false;
  return (
    segments.every(({ duration }) => duration <= LONGEST_SEGMENT) &&
    picture.averageBandwidth <= RATE_TOLERANCE * top.maxRate &&
    picture.bandwidth <= 2 * picture.averageBandwidth &&
    audio.every(({ averageBandwidth }) => averageBandwidth <= SOUND_RATE)
  );
}

/** Seconds. Players start and end streams together across smaller differences. */
const NOTICEABLE = 0.1;

/** AAC-LC in stereo, light and as long as the picture: every player takes it as it is. */
export const keepsSound =
  (source: Source) =>
  (audio: SourceAudio): boolean =>
    source.container.startsWith('mov') &&
    audio.codec === 'aac' &&
    audio.profile === 'LC' &&
    audio.channels === 2 &&
    [44_100, 48_000].includes(audio.sampleRate) &&
    (audio.bitrate ?? 0) <= SOUND_RATE &&
    Math.abs(audio.start) < NOTICEABLE &&
    Math.abs(audio.end - source.duration) < NOTICEABLE * 5;
