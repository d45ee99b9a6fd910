/** Whether browsers play a source's picture and sound as they are: what its header says. Pure. */
import type { Source, SourceAudio } from '../media/source.ts';

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
  const { codec, profile, pixelFormat, rotation, interlaced, hdr, width, height } = video;
  return (
    codec === 'h264' &&
    PROFILES.has(profile ?? '') &&
    (pixelFormat === 'yuv420p' || pixelFormat === 'yuvj420p') &&
    !interlaced &&
    !hdr &&
    rotation === 0 &&
    width === video.codedWidth &&
    height === video.codedHeight &&
    width % 2 === 0 &&
    height % 2 === 0 &&
    Math.max(width, height) <= LONGEST_SIDE &&
    video.frameRate > 0 &&
    video.frameRate <= MAX_RATE &&
    (bitrate ?? Infinity) <= MAX_BITRATE
  );
}

/** Seconds. Players start and end streams together across smaller differences. */
const NOTICEABLE = 0.1;

/** AAC-LC in stereo as long as the picture: every player takes it as it is. */
export const keepsSound =
  (source: Source) =>
  (audio: SourceAudio): boolean =>
    source.container.startsWith('mov') &&
    audio.codec === 'aac' &&
    audio.profile === 'LC' &&
    audio.channels === 2 &&
    [44_100, 48_000].includes(audio.sampleRate) &&
    Math.abs(audio.start) < NOTICEABLE &&
    Math.abs(audio.end - source.duration) < NOTICEABLE * 5;
