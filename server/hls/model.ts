/** What is known of a stream's renditions: `details` of an output that holds some of them. */

/** Bits per second, measured from segments; while a rendition grows, what its encoder may use at most. */
export interface Rates {
  /** The peak (RFC 8216, 4.1). */
  bandwidth: number;
  averageBandwidth: number;
}

interface RenditionBase extends Rates {
  /** Its folder below the output's prefix, with init.mp4, segments and (when complete) index.m3u8. */
  name: string;
  /** RFC 6381, of this rendition alone. */
  codecs: string;
}

export interface VideoRendition extends RenditionBase {
  width: number;
  height: number;
  frameRate: number;
  /** Of its I-frame playlist, iframes.m3u8; absent while it grows. */
  iframes?: Rates;
}

export interface AudioRendition extends RenditionBase {
  /** BCP 47; absent when nobody knows. */
  language?: string;
  /** The track's name in the file. */
  title?: string;
  channels: number;
}

/**
 * Details of an output of renditions, made by one job or by many (its parts). While it is `opening`, something is
 * missing without which it can't be played; while it is `growing`, its media playlists are composed from rows of
 * `segment`; when it is `complete`, they are files beside the segments.
 */
export interface HlsDetails {
  state: 'opening' | 'growing' | 'complete';
  /** Seconds; of the source while it grows. */
  duration: number;
  /** The largest first. */
  variants: VideoRendition[];
  /** The default one first. */
  audio: AudioRendition[];
  /** The source's own picture serves as the top rung: only those below it are encoded. */
  kept?: boolean;
  /** Of an output that many jobs make: the seconds at which chunks after the first begin, and the sounds. */
  parts?: (number | 'sound')[];
  /** Milliseconds since the epoch: since when others are there in its place. It plays on for those who have it. */
  supersededAt?: number;
}

/** A segment as media playlists tell of it. */
export interface StoredSegment {
  /** File name in the rendition's folder. */
  uri: string;
  /** Seconds. */
  duration: number;
  bytes: number;
  /** Pictures that decode alone, in their order. */
  keyFrames: KeyFrame[];
}

/** The bytes of one I-frame in its segment: the `moof` that describes it and its sample. */
export interface KeyFrame {
  offset: number;
  bytes: number;
  /** Seconds until the next one. */
  duration: number;
}
