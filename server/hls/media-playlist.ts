/** Media playlists of a rendition from its segments. Pure. */
import { averageBandwidth, peakBandwidth } from './bandwidth.ts';
import type { Rates, StoredSegment } from './model.ts';
import { stringifyMedia } from './playlist.ts';

/** Seconds of a segment: Apple's authoring specification, 7.5. */
export const SEGMENT_SECONDS = 6;
const MAP = 'init.mp4';

/** Text of index.m3u8: EVENT while it grows, VOD when it is complete. */
export const playlistOf = (segments: readonly StoredSegment[], growing: boolean): string =>
  stringifyMedia({
    map: MAP,
    segments: segments.map(({ uri, duration }) => ({ uri, duration })),
    targetDuration: SEGMENT_SECONDS,
    growing,
  });

/** Text of iframes.m3u8: one picture after the other, as byte ranges of the segments. */
export function iframePlaylistOf(segments: readonly StoredSegment[]): string {
  const pictures = segments.flatMap(({ uri, keyFrames }) =>
    keyFrames.map(({ offset, bytes, duration }) => ({ uri, duration, range: { offset, bytes } })),
  );
  const longest = pictures.reduce((max, { duration }) => Math.max(max, Math.round(duration)), 1);
  return stringifyMedia({ map: MAP, segments: pictures, targetDuration: longest, iframesOnly: true });
}

/** Measured from the sizes of segments. */
export const ratesOf = (segments: readonly StoredSegment[]): Rates => ({
  bandwidth: peakBandwidth(segments, SEGMENT_SECONDS),
  averageBandwidth: averageBandwidth(segments),
});

/** Measured from the sizes of I-frames. */
export function iframeRatesOf(segments: readonly StoredSegment[]): Rates {
  const pictures = segments.flatMap(({ keyFrames }) => keyFrames);
  const longest = pictures.reduce((max, { duration }) => Math.max(max, Math.round(duration)), 1);
  return { bandwidth: peakBandwidth(pictures, longest), averageBandwidth: averageBandwidth(pictures) };
}
