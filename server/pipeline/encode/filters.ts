/** FFmpeg filter chains that make a plain picture and plain sound of whatever a source has. Pure. */
import type { SourceAudio, SourceVideo } from '../../media/source.ts';

export interface Size {
  width: number;
  height: number;
}

const ALPHA = /^(yuva|gbrap|ya\d|rgba|bgra|argb|abgr|pal8)/;
const RGB = /^(rgb|bgr|gbr|argb|abgr|pal8|0rgb|0bgr|monow|monob|x2rgb)/;
/** PQ or HLG of up to 10,000 nits -> BT.709; in linear light, by zscale (zimg) and Hable's curve. */
const TONE_MAP = [
  'zscale=transfer=linear:npl=100',
  'format=gbrpf32le',
  'zscale=primaries=bt709',
  'tonemap=tonemap=hable:desat=0',
  'zscale=transfer=bt709:matrix=bt709:range=tv',
];

/**
 * Progressive, without alpha, scaled to `size` with square pixels, SDR, 8 bit 4:2:0 of limited range. (FFmpeg itself
 * has turned the picture upright before.) Scaling comes before tone mapping, which is slow.
 */
export function plainPicture(video: SourceVideo, size: Size): string[] {
  const format = video.pixelFormat ?? '';
  return [
    ...(video.interlaced ? ['bwdif=mode=send_frame:deint=all'] : []),
    // What is transparent becomes black, not whatever colour was left below.
    ...(ALPHA.test(format) ? ['format=gbrap', 'premultiply=inplace=1'] : []),
    ...named(video, format),
    scaled(size, RGB.test(format) || ALPHA.test(format) ? ':out_color_matrix=bt709' : ''),
    'setsar=1',
    ...(video.hdr ? TONE_MAP : []),
    'format=yuv420p',
  ];
}

export const scaled = ({ width, height }: Size, more = ''): string =>
  `scale=${width}:${height}:flags=bicubic${more}`;

/**
 * A source that doesn't name its colours is shown by its size: large ones as BT.709, small ones as BT.601. The name
 * must be given before it is scaled, or the small rungs of a large source get other colours.
 */
function named(video: SourceVideo, format: string): string[] {
  if (video.colorSpace || video.hdr || RGB.test(format) || ALPHA.test(format)) return [];
  const [matrix, rest] =
    Math.min(video.codedWidth, video.codedHeight) >= 720 ? ['bt709', 'bt709'] : ['smpte170m', 'smpte170m'];
  return [`setparams=colorspace=${matrix}:color_primaries=${rest}:color_trc=${rest}`];
}

/**
 * Even pictures to `duration`, from time 0 or a later one, in seconds: the first is held before it comes, the last until the
 * sound ends.
 */
export function evenPictures(video: SourceVideo, rate: string, duration: number, from = 0): string[] {
  const missing = duration - video.end;
  const frame = 1 / Math.max(1, video.frameRate);
  return [
    `fps=fps=${rate}:start_time=${from}`,
    ...(missing > frame ? [`tpad=stop_mode=clone:stop_duration=${missing.toFixed(3)}`] : []),
  ];
}

/**
 * Stereo at 48 kHz; gaps become silence, as does a late start and, beside a picture, the time after its end.
 * Time 0 is only enforced where it matters: FFmpeg sets the chain up anew when the source changes its channels,
 * and would enforce it again.
 */
export function plainSound(audio: SourceAudio, duration: number | undefined): string[] {
  const missing = (duration ?? 0) - audio.end;
  return [
    `aresample=48000:async=1${Math.abs(audio.start) > NOTICEABLE ? ':first_pts=0' : ''}`,
    'aformat=sample_fmts=fltp:channel_layouts=stereo',
    ...(missing > NOTICEABLE ? [`apad=pad_dur=${missing.toFixed(3)}`] : []),
  ];
}

/** Seconds. Players start and end streams together across smaller differences. */
const NOTICEABLE = 0.1;
