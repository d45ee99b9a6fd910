/** What the HTTP API answers, as far as the pages use it. */

export type MediaStatus = 'uploading' | 'live' | 'processing' | 'playable' | 'ready' | 'failed' | 'cancelled';

export type Visibility = 'private' | 'unlisted' | 'public';
export type Scope = 'upload' | 'read' | 'admin';

export interface Me {
  owner: string;
  scopes: Scope[];
  /** Bytes. */
  limits: { maxUploadSize: number };
}

export interface Progress {
  /** 0 to 100. */
  percent: number;
  /** Times real time. */
  speed?: number;
  stage?: string;
}

export interface Problem {
  code: string;
  message: string;
}

export interface Source {
  size: number;
  container: string;
  duration: number;
  bitrate?: number;
  video?: {
    codec: string;
    profile?: string;
    width: number;
    height: number;
    rotation: number;
    frameRate: number;
    variableFrameRate: boolean;
    hdr: boolean;
  };
  audio: { codec: string; channels: number; sampleRate: number; language?: string }[];
  subtitles?: { codec: string; isText: boolean; language?: string; title?: string }[];
}

export interface Variant {
  name: string;
  width: number;
  height: number;
  frameRate: number;
  bandwidth: number;
  codecs: string;
}

export interface Output {
  kind: string;
  bytes: number;
  /** Of `hls`. */
  variants?: Variant[];
  /** The first file of it, e.g. the poster's JPEG. */
  url: string | null;
  /** Of `poster`: a tiny blurred picture as a data: URL. */
  placeholder?: string;
}

export interface Playback {
  hls: string;
  poster: string | null;
  posterWebp: string | null;
  /** Every size of it, for <img srcset>. */
  posterWebpSrcset: string | null;
  /** WebVTT for previews while seeking. */
  storyboard: string | null;
  /** JSON: the shape of a sound without a picture. */
  waveform: string | null;
  downloads: { mp4: string | null; m4a: string | null };
  /** A tiny blurred picture as a data: URL. */
  placeholder: string | null;
}

export interface Media {
  id: string;
  status: MediaStatus;
  title: string;
  owner: string;
  createdAt: string;
  visibility: Visibility;
  filename: string | null;
  upload: { offset: number; length: number | null } | null;
  source: Source | null;
  outputs: Output[];
  playback: Playback | null;
  progress: Progress | null;
  /** Why it failed; of one that plays, why it could not be encoded here and plays from a provider. */
  error?: Problem | null;
  /** Known to its owner. */
  encoder?: 'ffmpeg' | 'stream' | 'both';
  sourceDeletedAt?: string | null;
}

export type JobStatus = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';

export interface Job {
  id: string;
  task: string;
  status: JobStatus;
  attempts: number;
  maxAttempts: number;
  mediaId: string | null;
  owner: string | null;
  /** Not before this time; in the future after a failure, or when it must wait. */
  runAt: string;
  progress: Progress | null;
  error?: (Problem & { exitStatus?: string | null }) | null;
  logTail?: string | null;
  createdAt: string;
  startedAt: string | null;
  finishedAt: string | null;
}

export interface ApiKey {
  id: string;
  name: string;
  owner: string;
  scopes: Scope[];
  hint: string;
  createdAt: string;
  lastUsedAt: string | null;
}

export interface Page<T> {
  items: T[];
  nextCursor?: string | null;
}
