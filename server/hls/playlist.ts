/** HLS playlists (RFC 8216 and draft-pantos-hls-rfc8216bis) as plain data, and their text. */
export interface Segment {
  uri: string;
  /** Seconds. */
  duration: number;
  /** Part of the file; absent: all of it. */
  range?: { offset: number; bytes: number };
}

export interface MediaPlaylist {
  /** URI of the initialization segment. */
  map: string;
  segments: readonly Segment[];
  /** Seconds; no segment, rounded, is longer. Raised when one is. */
  targetDuration: number;
  /** More will come: EVENT without an end, to be played from the start. Otherwise VOD. */
  growing?: boolean;
  /** Every segment is one I-frame (EXT-X-I-FRAMES-ONLY). */
  iframesOnly?: boolean;
}

export interface Rendition {
  group: string;
  name: string;
  /** BCP 47; `und` when nobody knows. */
  language: string;
  channels: number;
  isDefault: boolean;
  uri: string;
}

export interface Variant {
  uri: string;
  /** Bits per second: the peak with the largest of its renditions. */
  bandwidth: number;
  averageBandwidth: number;
  codecs: readonly string[];
  video?: { width: number; height: number; frameRate: number } | undefined;
  /** Group of its audio renditions. */
  audio?: string | undefined;
}

export interface MultivariantPlaylist {
  variants: readonly Variant[];
  audio: readonly Rendition[];
  /** I-frame playlists, for fast forward and previews. */
  iframes: readonly Variant[];
}

/** Fragmented MP4 with EXT-X-MAP needs version 6; 7 is what FFmpeg and Apple's tools write for it. */
const VERSION = 7;

/** The media sequence number of the first segment of every playlist. */
export const FIRST_SEQUENCE = 1;

/** Text of a media playlist. */
export function stringifyMedia(playlist: MediaPlaylist): string {
  const { growing, iframesOnly, segments } = playlist;
  const longest = segments.reduce((max, s) => Math.max(max, Math.round(s.duration)), playlist.targetDuration);
  return lines([
    '#EXTM3U',
    `#EXT-X-VERSION:${VERSION}`,
    `#EXT-X-TARGETDURATION:${longest}`,
    `#EXT-X-MEDIA-SEQUENCE:${FIRST_SEQUENCE}`,
    `#EXT-X-PLAYLIST-TYPE:${growing ? 'EVENT' : 'VOD'}`,
    ...(iframesOnly ? ['#EXT-X-I-FRAMES-ONLY'] : ['#EXT-X-INDEPENDENT-SEGMENTS']),
    // Without it players begin a growing playlist at its end, as they would a live broadcast.
    ...(growing
      ? ['#EXT-X-START:TIME-OFFSET=0,PRECISE=YES', '#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES']
      : []),
    `#EXT-X-MAP:URI="${playlist.map}"`,
    ...segments.flatMap(segment),
    ...(growing ? [] : ['#EXT-X-ENDLIST']),
  ]);
}

const segment = ({ uri, duration, range }: Segment): string[] => [
  `#EXTINF:${duration.toFixed(6)},`,
  ...(range ? [`#EXT-X-BYTERANGE:${range.bytes}@${range.offset}`] : []),
  uri,
];

/** Text of a multivariant playlist. Players start with its first variant. */
export function stringifyMultivariant(playlist: MultivariantPlaylist): string {
  return lines([
    '#EXTM3U',
    `#EXT-X-VERSION:${VERSION}`,
    '#EXT-X-INDEPENDENT-SEGMENTS',
    ...playlist.audio.map(media),
    ...playlist.variants.flatMap((v) => [streamInf(v), v.uri]),
    ...playlist.iframes.map(iframeInf),
  ]);
}

const media = (r: Rendition): string =>
  tag('#EXT-X-MEDIA', {
    TYPE: 'AUDIO',
    'GROUP-ID': quoted(r.group),
    NAME: quoted(r.name),
    LANGUAGE: quoted(r.language),
    DEFAULT: r.isDefault ? 'YES' : 'NO',
    AUTOSELECT: 'YES',
    CHANNELS: quoted(String(r.channels)),
    URI: quoted(r.uri),
  });

const streamInf = (v: Variant): string =>
  tag('#EXT-X-STREAM-INF', {
    BANDWIDTH: String(v.bandwidth),
    'AVERAGE-BANDWIDTH': String(v.averageBandwidth),
    CODECS: quoted(v.codecs.join(',')),
    RESOLUTION: v.video && `${v.video.width}x${v.video.height}`,
    'FRAME-RATE': v.video?.frameRate.toFixed(3),
    'VIDEO-RANGE': v.video && 'SDR',
    AUDIO: v.audio && quoted(v.audio),
    'CLOSED-CAPTIONS': v.video && 'NONE',
  });

const iframeInf = (v: Variant): string =>
  tag('#EXT-X-I-FRAME-STREAM-INF', {
    BANDWIDTH: String(v.bandwidth),
    'AVERAGE-BANDWIDTH': String(v.averageBandwidth),
    CODECS: quoted(v.codecs.join(',')),
    RESOLUTION: v.video && `${v.video.width}x${v.video.height}`,
    'VIDEO-RANGE': 'SDR',
    URI: quoted(v.uri),
  });

/** A tag with its attributes; those without a value are left out. */
export const tag = (name: string, attributes: Record<string, string | undefined>): string =>
  `${name}:${Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${value}`)
    .join(',')}`;

/** A quoted-string can't hold quotes, line feeds or carriage returns (RFC 8216, 4.2); names may come from a user's file. */
// eslint-disable-next-line no-control-regex
export const quoted = (value: string): string => `"${value.replace(/["\u0000-\u001f\u007f]/g, ' ')}"`;

const lines = (all: string[]): string => `${all.join('\n')}\n`;
