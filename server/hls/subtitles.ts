/** Subtitles of a stream (RFC 8216, 3.5 and 4.3.4.1): renditions of one WebVTT segment each. Pure. */
import { quoted, tag } from './playlist.ts';

export interface SubtitleRendition {
  name: string;
  /** BCP 47; `und` when nobody knows. */
  language: string;
  isDefault: boolean;
  isForced: boolean;
  uri: string;
}

const GROUP = 'subtitles';

/** A multivariant playlist whose variants can all be watched with these subtitles. */
export function withSubtitles(multivariant: string, renditions: readonly SubtitleRendition[]): string {
  if (!renditions.length) return multivariant;
  const first = renditions.findIndex(({ isDefault, isForced }) => isDefault && !isForced);
  const media = renditions.map((rendition, n) => subtitleMedia(rendition, n === first));
  const lines = multivariant
    .split('\n')
    .map((line) => (line.startsWith('#EXT-X-STREAM-INF:') ? `${line},SUBTITLES=${quoted(GROUP)}` : line));
  const at = lines.findIndex((line) => line.startsWith('#EXT-X-STREAM-INF:'));
  return [...lines.slice(0, at), ...media, ...lines.slice(at)].join('\n');
}

/** At most one of a group is the default one. */
const subtitleMedia = (r: SubtitleRendition, isDefault: boolean): string =>
  tag('#EXT-X-MEDIA', {
    TYPE: 'SUBTITLES',
    'GROUP-ID': quoted(GROUP),
    NAME: quoted(r.name),
    LANGUAGE: quoted(r.language),
    DEFAULT: isDefault ? 'YES' : 'NO',
    AUTOSELECT: 'YES',
    FORCED: r.isForced ? 'YES' : 'NO',
    URI: quoted(r.uri),
  });

/**
 * The playlist of one rendition: a single segment of the stream's whole duration (seconds). All playlists of a stream
 * are of one type: EVENT while its pictures grow.
 */
export const subtitlePlaylist = (uri: string, duration: number, growing = false): string =>
  [
    '#EXTM3U',
    '#EXT-X-VERSION:7',
    `#EXT-X-TARGETDURATION:${Math.max(1, Math.ceil(duration))}`,
    '#EXT-X-MEDIA-SEQUENCE:1',
    `#EXT-X-PLAYLIST-TYPE:${growing ? 'EVENT' : 'VOD'}`,
    `#EXTINF:${duration.toFixed(6)},`,
    uri,
    '#EXT-X-ENDLIST',
    '',
  ].join('\n');

/** Ticks per second of MPEG-2 time stamps. */
const MPEG_CLOCK = 90_000;

/** The segment: which time of the stream its time 0 is (RFC 8216, 3.5). */
export const subtitleSegment = (vtt: string, streamStart: number): string =>
  vtt.replace(
    /^WEBVTT\n/,
    `WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:${Math.round(streamStart * MPEG_CLOCK)}\n`,
  );
