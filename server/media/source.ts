/** What the probe found out about an uploaded file: `media.source`, and `source` in the API. */
export interface Source {
  /** Bytes. */
  size: number;
  /** FFmpeg's demuxer name, e.g. `mov,mp4,m4a,3gp,3g2,mj2`. */
  container: string;
  /** Seconds. */
  duration: number;
  /** Bits per second of the whole file, when known. */
  bitrate?: number | undefined;
  /** The stream that will be shown; absent for audio only. */
  video?: SourceVideo | undefined;
  /** Every audio stream, the default one first; empty when there is none. */
  audio: SourceAudio[];
  /** Subtitles, in the file's order; absent in media that were probed before there were any. */
  subtitles?: SourceSubtitles[] | undefined;
  /** Stream index of attached cover art. */
  cover?: number | undefined;
}

export interface SourceVideo {
  /** Stream index in the file. */
  index: number;
  codec: string;
  profile?: string | undefined;
  pixelFormat?: string | undefined;
  /** Pixels as displayed: rotation and pixel aspect ratio applied. */
  width: number;
  height: number;
  /** Pixels as coded. */
  codedWidth: number;
  codedHeight: number;
  /** Degrees clockwise: 0, 90, 180, 270. */
  rotation: number;
  /** It is to be shown as in a mirror, as some front cameras record; absent: it isn't. */
  mirrored?: true;
  /** Average frames per second; 0 when unknown. */
  frameRate: number;
  /** Frames per second where it moves: what a variable frame rate is encoded at. */
  busyFrameRate?: number | undefined;
  /** The frames are not evenly spaced. */
  variableFrameRate: boolean;
  interlaced: boolean;
  /** PQ or HLG transfer: needs tone mapping. */
  hdr: boolean;
  /** FFmpeg's name of the matrix, e.g. `bt709`, when the file says one. */
  colorSpace?: string | undefined;
  /** Seconds: when its last picture ends; less than the file's duration when sound goes on. */
  end: number;
}

export interface SourceAudio {
  index: number;
  codec: string;
  profile?: string | undefined;
  channels: number;
  sampleRate: number;
  /** Bits per second, where the header says it. */
  bitrate?: number;
  /** BCP 47 or ISO 639 tag from the file, when it has one. */
  language?: string | undefined;
  /** The track's name from the file. */
  title?: string | undefined;
  /** Seconds from the start of the file. */
  start: number;
  end: number;
}

export interface SourceSubtitles {
  index: number;
  codec: string;
  /** False for pictures (Blu-ray, DVD, DVB): they are left where they are. */
  isText: boolean;
  /** BCP 47 or ISO 639 tag from the file, when it has one. */
  language?: string | undefined;
  /** The track's name from the file. */
  title?: string | undefined;
  isDefault: boolean;
  isForced: boolean;
}
