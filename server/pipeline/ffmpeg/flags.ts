/**
 * The safety flags of every ffmpeg and ffprobe command. Each stops an attack that was tried: see
 * hostile.test.ts.
 */
import type { Config } from '../../config.ts';

/**
 * Demuxers of files that hold their own sound and pictures. Not in the list: formats that name other
 * files or addresses (hls, dash, concat, imf, sdp, …), pictures, text.
 */
const FORMATS = [
  ...[
    'mov',
    'matroska',
    'mpegts',
    'mpeg',
    'avi',
    'flv',
    'asf',
    'ogg',
    'mxf',
    'dv',
    'mpegvideo',
    'h264',
    'hevc',
  ],
  ...['wav', 'w64', 'aiff', 'caf', 'mp3', 'flac', 'aac', 'ac3', 'eac3', 'amr', 'au', 'wv', 'ape', 'tta'],
];

/** No single allocation is larger: a 16 bit 4:4:4 picture of the largest size has 226 MB. */
const MAX_ALLOC = 1024 ** 3;

/** Options before any input, of both programs. Warnings go to stderr, where the last lines are kept. */
export const COMMON_FLAGS = ['-hide_banner', '-loglevel', 'warning', '-max_alloc', String(MAX_ALLOC)];

/** The input and its guards: ours is the path, one local file, known formats, pictures of a sane size. */
export const inputFlags = (encoding: Config['encoding'], source: string): string[] => [
  ...guardsOf(encoding, 'file'),
  ...['-i', `file:${source}`],
];

/** The same for what comes by standard input: no file at all. */
export const pipeFlags = (encoding: Config['encoding']): string[] => [
  ...guardsOf(encoding, 'pipe'),
  ...['-i', 'pipe:0'],
];

const guardsOf = (encoding: Config['encoding'], protocol: 'file' | 'pipe'): string[] => [
  ...['-protocol_whitelist', protocol],
  ...['-format_whitelist', FORMATS.join(',')],
  ...['-max_pixels', String(encoding.maxPixels)],
];

/** Guards of each output: no metadata, data or (unasked) subtitles of the source, and an end, whatever time stamps say. */
export const outputFlags = (
  encoding: Config['encoding'],
  { subtitles = false }: { subtitles?: boolean } = {},
): string[] => [
  ...['-map_metadata', '-1', '-map_chapters', '-1', '-dn'],
  ...(subtitles ? [] : ['-sn']),
  ...['-t', String(encoding.maxDurationMs / 1000)],
];
