/** ffprobe's JSON -> Source. Pure: what a file's header says, with nothing believed that it doesn't say. */
import { z } from 'zod';
import type { ToScan } from './scan.ts';
import { mayJump } from './steady-clock.ts';
import type { Source, SourceAudio, SourceSubtitles, SourceVideo } from '../../media/source.ts';

const text = z.string().optional();
const number = z.coerce.number().optional().catch(undefined);

const Stream = z.object({
  index: z.number(),
  codec_type: text,
  codec_name: text,
  codec_tag_string: text,
  profile: text,
  pix_fmt: text,
  width: number,
  height: number,
  sample_aspect_ratio: text,
  field_order: text,
  color_transfer: text,
  color_space: text,
  r_frame_rate: text,
  avg_frame_rate: text,
  nb_frames: number,
  channels: number,
  sample_rate: number,
  start_time: number,
  duration: number,
  bit_rate: number,
  disposition: z.record(z.string(), z.number()).default({}),
  tags: z.record(z.string(), z.string()).default({}),
  side_data_list: z.array(z.object({ rotation: number, displaymatrix: text })).default([]),
});
export type ProbedStream = z.infer<typeof Stream>;

const Probed = z.object({
  streams: z.array(Stream).default([]),
  packets: z
    .array(
      z.object({
        stream_index: z.number(),
        side_data_list: z.array(z.object({ side_data_type: text })).default([]),
      }),
    )
    .default([]),
  format: z.object({ format_name: z.string(), start_time: number, duration: number, bit_rate: number }),
});
export type Probed = z.infer<typeof Probed>;

/** Options of ffprobe for `parseProbed`. The first packets tell what is encrypted. */
export const PROBE_OPTIONS = [
  ...['-show_streams', '-show_format', '-show_packets', '-read_intervals', '%+#16', '-of', 'json'],
];

/** The answer of ffprobe with PROBE_OPTIONS, checked. Throws when it is something else. */
export const parseProbed = (json: string): Probed => Probed.parse(JSON.parse(json));

/** More would only be a burden: no player's menu has more languages. */
const MAX_AUDIO = 16;
const MAX_SUBTITLES = 32;
/** FFmpeg's names of subtitles that are text: SubRip, MP4's, WebVTT, SubStation Alpha. */
const TEXT_SUBTITLES = new Set(['subrip', 'srt', 'mov_text', 'webvtt', 'ass', 'ssa', 'text']);
const INTERLACED = new Set(['tt', 'bb', 'tb', 'bt']);
const HDR = new Set(['smpte2084', 'arib-std-b67']);

/** Streams that are a picture to look at while listening, not video. */
const isStill = ({ disposition: d }: ProbedStream): boolean =>
  !!(d['attached_pic'] || d['still_image'] || d['timed_thumbnails']);
const isVideo = (s: ProbedStream): boolean => s.codec_type === 'video' && !isStill(s);
const isKnown = (s: ProbedStream): boolean => !!s.codec_name && !['unknown', 'none'].includes(s.codec_name);
const isUsable = (s: ProbedStream, encrypted: ReadonlySet<number>): boolean =>
  isKnown(s) && !encrypted.has(s.index) && !APPLE_DRM.test(s.codec_tag_string ?? '');
const APPLE_DRM = /^drm[si]$/;
const byDefault = (a: ProbedStream, b: ProbedStream): number =>
  (b.disposition['default'] ?? 0) - (a.disposition['default'] ?? 0);

export interface Chosen {
  /** The default video stream, else the first. */
  video: ProbedStream | undefined;
  /** The default one first. */
  audio: ProbedStream[];
  subtitles: ProbedStream[];
  /** Cover art. */
  cover: ProbedStream | undefined;
  /** There is sound or video, but in a codec nobody here knows, or encrypted. */
  unusable: ProbedStream[];
}

/** Which streams count. Empty ones (no packets, no size) don't. */
export function chooseStreams({ streams, packets }: Probed): Chosen {
  // Common encryption (ISO/IEC 23001-7): FFmpeg names the codec below it, and marks the packets.
  const encrypted = new Set(
    packets
      .filter((p) => p.side_data_list.some((d) => d.side_data_type === 'Encryption info'))
      .map((p) => p.stream_index),
  );
  const usable = (s: ProbedStream): boolean => isUsable(s, encrypted);
  const moving = streams.filter(isVideo).sort(byDefault);
  const audio = streams.filter((s) => s.codec_type === 'audio' && s.nb_frames !== 0).sort(byDefault);
  return {
    video: moving.find((s) => usable(s) && !!s.width && !!s.height && s.nb_frames !== 0),
    audio: audio.filter((s) => usable(s) && !!s.channels && !!s.sample_rate).slice(0, MAX_AUDIO),
    subtitles: streams
      .filter((s) => s.codec_type === 'subtitle' && isKnown(s) && !encrypted.has(s.index))
      .slice(0, MAX_SUBTITLES),
    cover: streams.find((s) => s.codec_type === 'video' && isStill(s) && isKnown(s)),
    unusable: [...moving, ...audio].filter((s) => !usable(s)),
  };
}

/** FFmpeg's demuxers of pictures without a container, as cameras record them: of their packets only durations are known. */
const BARE = /^(h264|hevc)$/;

/** The streams whose packets tell about the source. */
export function toScanOf({ format }: Probed, { video, audio, subtitles }: Chosen): ToScan {
  const timed = [...(video ? [video] : []), ...audio].map((s) => s.index);
  return {
    streams: [...timed, ...subtitles.map((s) => s.index)],
    jumping: mayJump(format.format_name) ? timed : [],
    bare: BARE.test(format.format_name),
  };
}

/** When a stream begins and ends, in seconds from the start of the file. */
export interface Span {
  start: number;
  end: number;
}

/** What is known of a file once its streams are chosen and it is known when they begin and end. */
export function describe(
  probed: Probed,
  chosen: Chosen,
  size: number,
  spanOf: (stream: ProbedStream) => Span,
): Source {
  const streams = [...(chosen.video ? [chosen.video] : []), ...chosen.audio];
  const duration = Math.max(0, ...streams.map((s) => spanOf(s).end));
  return {
    size,
    container: probed.format.format_name,
    duration: micro(duration),
    // Of a recording that was cut off, or is sent live, the header says no duration and so no rate.
    bitrate: probed.format.bit_rate ?? (duration ? Math.round((size * 8) / duration) : undefined),
    video: chosen.video && describeVideo(chosen.video, spanOf(chosen.video)),
    audio: chosen.audio.map((s) => describeAudio(s, spanOf(s))),
    subtitles: chosen.subtitles.map(describeSubtitles),
    cover: chosen.cover?.index,
  };
}

const micro = (seconds: number): number => Math.round(seconds * 1e6) / 1e6;

/** A video stream as its header describes it. */
export function describeVideo(s: ProbedStream, { end }: Span): SourceVideo {
  const coded = { width: s.width ?? 0, height: s.height ?? 0 };
  const rotation = rotationOf(s);
  const square = { width: Math.max(1, Math.round(coded.width * pixelAspect(s))), height: coded.height };
  const onItsSide = rotation === 90 || rotation === 270;
  const rate = fraction(s.r_frame_rate);
  const average = fraction(s.avg_frame_rate);
  const even = Math.abs(average - rate) <= rate * 0.02;
  return {
    index: s.index,
    codec: s.codec_name ?? 'unknown',
    profile: s.profile,
    pixelFormat: s.pix_fmt,
    width: onItsSide ? square.height : square.width,
    height: onItsSide ? square.width : square.height,
    codedWidth: coded.width,
    codedHeight: coded.height,
    rotation,
    ...(isMirrored(s) ? { mirrored: true } : {}),
    // The average is off by a frame or two at the ends; of fields, r_frame_rate may count both.
    frameRate: even ? rate : average || rate,
    variableFrameRate: !isInterlaced(s) && !even,
    interlaced: isInterlaced(s),
    hdr: HDR.has(s.color_transfer ?? ''),
    colorSpace: s.color_space === 'unknown' ? undefined : s.color_space,
    end: micro(end),
  };
}

function describeAudio(s: ProbedStream, { start, end }: Span): SourceAudio {
  return {
    index: s.index,
    codec: s.codec_name ?? 'unknown',
    profile: s.profile,
    channels: s.channels ?? 0,
    sampleRate: s.sample_rate ?? 0,
    ...(s.bit_rate ? { bitrate: s.bit_rate } : {}),
    language: languageOf(s.tags['language']),
    title: s.tags['title']?.slice(0, 100),
    start: micro(start),
    end: micro(end),
  };
}

const describeSubtitles = (s: ProbedStream): SourceSubtitles => ({
  index: s.index,
  codec: s.codec_name ?? 'unknown',
  isText: TEXT_SUBTITLES.has(s.codec_name ?? ''),
  language: languageOf(s.tags['language']),
  title: s.tags['title']?.slice(0, 100),
  isDefault: !!s.disposition['default'],
  isForced: !!s.disposition['forced'],
});

const isInterlaced = (s: ProbedStream): boolean => INTERLACED.has(s.field_order ?? '');

/** FFmpeg gives degrees counterclockwise, between -180 and 180, from the display matrix. */
function rotationOf(s: ProbedStream): number {
  const degrees = s.side_data_list.find((d) => d.rotation !== undefined)?.rotation ?? 0;
  return (((Math.round(-degrees / 90) * 90) % 360) + 360) % 360;
}

/** The display matrix turns left to right besides: a negative determinant. ffprobe prints its rows, each after a number. */
function isMirrored(s: ProbedStream): boolean {
  const matrix = s.side_data_list.find((d) => d.displaymatrix)?.displaymatrix ?? '';
  const rows = [...matrix.matchAll(/^\d+:\s*(-?\d+)\s+(-?\d+)/gm)].map((row) => row.slice(1).map(Number));
  const [[a = 1, b = 0] = [], [c = 0, d = 1] = []] = rows;
  return a * d - b * c < 0;
}

/** Width of a pixel for a height of 1. Absurd ratios are taken for damage. */
function pixelAspect(s: ProbedStream): number {
  const ratio = fraction(s.sample_aspect_ratio?.replace(':', '/'));
  return ratio > 0.1 && ratio < 10 ? ratio : 1;
}

/** `30000/1001` -> 29.97; 0 when unknown. */
function fraction(value: string | undefined): number {
  const [top = 0, bottom = 1] = (value ?? '').split('/').map(Number);
  const quotient = top / bottom;
  return Number.isFinite(quotient) && quotient > 0 ? quotient : 0;
}

/** ISO 639-2 as containers have it (`eng`, `ger`) -> the BCP 47 tag (`en`, `de`); undefined for `und` and nonsense. */
export function languageOf(tag: string | undefined): string | undefined {
  if (!tag || tag === 'und' || tag === 'mis' || tag === 'zxx') return undefined;
  try {
    return Intl.getCanonicalLocales(tag)[0];
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
