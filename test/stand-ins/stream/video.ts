/** The stand-in's videos: what they are, and how the API shows them. */
import { randomBytes } from 'node:crypto';

export type State = 'pendingupload' | 'downloading' | 'queued' | 'inprogress' | 'ready' | 'error';

export interface Video {
  uid: string;
  created: number;
  meta: Record<string, string>;
  creator: string | null;
  requireSignedURLs: boolean;
  /** Of a copy. */
  input: string | undefined;
  state: State;
  percent: number;
  readyToStream: boolean;
  errorCode: string | undefined;
  deleted: boolean;
  /** SHA-256 of the source, hex, and its length. */
  sha256: string | undefined;
  size: number;
  /** How its source was asked for, in order: `HEAD 200`, `GET 206`. */
  fetches: string[];
  captions: Record<string, string>;
  /** Of a push. */
  push: { offset: number; length: number } | undefined;
  /** As it was shown before its last change: what a stale answer shows. */
  before: Record<string, unknown> | undefined;
}

export const newUid = (): string => randomBytes(16).toString('hex');

/** As the API answers it, with the nulls, the 0 and the -1 of what it does not know yet. */
export function show(video: Video, origin: string): Record<string, unknown> {
  const known = video.readyToStream;
  const time = new Date(video.created).toISOString();
  return {
    uid: video.uid,
    creator: video.creator,
    thumbnail: `${origin}/${video.uid}/thumbnails/thumbnail.jpg`,
    thumbnailTimestampPct: 0,
    readyToStream: video.readyToStream,
    readyToStreamAt: known ? time : null,
    status: {
      state: video.state,
      ...(video.state === 'pendingupload' || video.state === 'downloading'
        ? {}
        : {
            pctComplete:
              video.state === 'ready' && video.percent === 100 ? '100.000000' : String(video.percent),
          }),
      errorReasonCode: video.errorCode ?? '',
      errorReasonText: video.errorCode ? 'It could not be encoded.' : '',
    },
    meta: { ...video.meta, ...(video.input ? { 'downloaded-from': video.input } : {}) },
    created: time,
    modified: time,
    uploaded: time,
    uploadExpiry: null,
    scheduledDeletion: null,
    size: known ? video.size : 0,
    preview: `${origin}/${video.uid}/watch`,
    allowedOrigins: [],
    requireSignedURLs: video.requireSignedURLs,
    maxSizeBytes: null,
    maxDurationSeconds: null,
    duration: known ? 12.5 : -1,
    input: known ? { width: 640, height: 360 } : { width: -1, height: -1 },
    liveInput: null,
    clippedFrom: null,
    watermark: null,
    publicDetails: null,
    playback: {
      hls: `${origin}/${video.uid}/manifest/video.m3u8`,
      dash: `${origin}/${video.uid}/manifest/video.mpd`,
    },
  };
}
