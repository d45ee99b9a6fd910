/**
 * Every table as one interface: the single place that says what the database holds.
 *
 * Conventions: columns are snake_case in SQL and camelCase here (CamelCasePlugin); times are
 * milliseconds since the epoch; JSON is stored as text; flags are 0 | 1. So SQLite and PostgreSQL
 * return the same JavaScript values.
 */
import type { Generated, Insertable, Selectable, Updateable } from 'kysely';

export interface Schema {
  media: MediaTable;
  upload: UploadTable;
  uploadPart: UploadPartTable;
  uploadLock: UploadLockTable;
  job: JobTable;
  output: OutputTable;
  segment: SegmentTable;
  event: EventTable;
  apiKey: ApiKeyTable;
  setting: SettingTable;
  encodeAttempt: EncodeAttemptTable;
  providerRate: ProviderRateTable;
}

/** What a user sees: one video or sound, from the first byte of its upload to its deletion. */
export interface MediaTable {
  id: string;
  owner: string;
  title: string;
  filename: string | null;
  filetype: string | null;
  /** See `MEDIA_STATUSES` in server/media/media.ts, which alone may change it. */
  status: string;
  /** Counts explicit retries; work of an older attempt can't change the row. */
  attempt: number;
  /** Who encodes it: ffmpeg | stream | both. */
  encoder: Generated<string>;
  visibility: string;
  /** Storage key of the uploaded file, once it is whole. */
  sourceKey: string | null;
  /** JSON of `Source` (server/media/source.ts), written by the probe. */
  source: string | null;
  errorCode: string | null;
  errorMessage: string | null;
  createdAt: number;
  updatedAt: number;
  /** Set when its owner deleted it: invisible at once, purged by a job. */
  deletedAt: number | null;
  /** When its source was deleted by KEEP_SOURCE; sourceKey is null from then on. */
  sourceDeletedAt: Generated<number | null>;
}

/** The ledger of an upload: the truth about its offset. Storage only holds the bytes. */
export interface UploadTable {
  /** The last segment of the upload's URL. */
  id: string;
  mediaId: string | null;
  owner: string;
  /** single | partial | final (tus concatenation). */
  kind: string;
  /** Null while the length is deferred. */
  length: number | null;
  offset: number;
  /** receiving | assembling | complete | terminated | expired. */
  state: string;
  /** Raw Upload-Metadata header, as HEAD must return it. */
  metadata: string | null;
  /** What the whole object must be, or is wanted to be told of it (server/uploads/repr-digest.ts); null: nobody said. */
  digest: string | null;
  /** Raw Upload-Concat header, as HEAD must return it; null for a single upload. */
  concat: string | null;
  /** The final upload that a partial one became part of. */
  finalId: string | null;
  /** Storage key of the finished object. */
  key: string;
  /** Multipart upload id on S3; null on disk. */
  storageId: string | null;
  /** JSON of `TailPiece[]` (server/uploads/s3/tail.ts): where the bytes after the last whole part are (S3); null when there are none. */
  tail: string | null;
  /** Their number. */
  tailSize: number;
  /** Fencing token: each lock holder's commits must carry the epoch it was given. */
  epoch: number;
  /** Unique per owner: a repeated creation answers the same upload. */
  idempotencyKey: string | null;
  expiresAt: number | null;
  createdAt: number;
  updatedAt: number;
}

/** A part of a multipart upload that storage has acknowledged. Parts are contiguous from number 1. */
export interface UploadPartTable {
  uploadId: string;
  number: number;
  size: number;
  etag: string;
}

/** A lease on an upload: one request at a time, over all server processes. */
export interface UploadLockTable {
  uploadId: string;
  holder: string;
  /** Another request wants it: the holder should flush and let go. */
  wanted: number;
  expiresAt: number;
}

/** A unit of background work. See server/jobs/queue.ts. */
export interface JobTable {
  id: string;
  /** Makes enqueueing idempotent, e.g. `mediaId:step:attempt`. */
  key: string;
  task: string;
  mediaId: string | null;
  /** Media attempt that asked for this job. */
  mediaAttempt: number | null;
  owner: string | null;
  /** queued | running | succeeded | failed | cancelled. */
  status: string;
  /** Higher runs first. */
  priority: number;
  /** Among equal priority lower runs first; see server/jobs/turn.ts. */
  turn: Generated<number>;
  attempts: number;
  maxAttempts: number;
  /** Not before this time. */
  runAt: number;
  /** 1: runAt was in the future when the row came into the queue, so claims need not look at it. See promote(). */
  delayed: Generated<number>;
  /** JSON argument of the task. */
  payload: string;
  worker: string | null;
  leaseToken: string | null;
  leaseUntil: number | null;
  cancelRequested: number;
  /** JSON {percent, speed?, …} of the running attempt. */
  progress: string | null;
  errorCode: string | null;
  errorMessage: string | null;
  exitStatus: string | null;
  logTail: string | null;
  createdAt: number;
  startedAt: number | null;
  finishedAt: number | null;
}

/** One stored product of a step: renditions of a stream, a poster. Visible because its row exists. */
export interface OutputTable {
  id: string;
  mediaId: string;
  mediaAttempt: number;
  /** See `OutputKind` in server/media/output.ts. Unique per media: a retry replaces it. */
  kind: string;
  /** Everything of this output lies under this storage prefix. */
  prefix: string;
  bytes: number;
  /** JSON, by kind. */
  details: string;
  createdAt: number;
}

/** A stored segment of an output whose renditions are still growing; gone when its playlists are files. */
export interface SegmentTable {
  outputId: string;
  /** Name of the rendition: its folder. */
  rendition: string;
  /** From 0, without holes. */
  sequence: number;
  uri: string;
  /** Seconds. */
  duration: number;
  bytes: number;
  /** JSON of `KeyFrame[]` (server/hls/model.ts). */
  keyFrames: string;
}

/** The feed: written in the transaction of the change it tells of. */
export interface EventTable {
  /** Grows in commit order. */
  id: Generated<number>;
  type: string;
  owner: string | null;
  mediaId: string | null;
  jobId: string | null;
  /** JSON. */
  payload: string;
  createdAt: number;
}

export interface ApiKeyTable {
  id: string;
  name: string;
  owner: string;
  /** Space-separated: upload read admin. */
  scopes: string;
  /** SHA-256 of the whole key, hex. Keys are random, so no slow hash is needed. */
  hash: string;
  /** The first characters, to recognise a key by. */
  hint: string;
  createdAt: number;
  lastUsedAt: number | null;
  revokedAt: number | null;
}

/** Values the installation makes once and all its processes share, e.g. the signing secret. */
export interface SettingTable {
  name: string;
  value: string;
}

/**
 * One try to have a media encoded by a provider (server/providers): the truth about which of its videos is ours.
 * Outlives its media until nothing of it is left at the provider.
 */
export interface EncodeAttemptTable {
  /** Also the name of the video at the provider, by which it is found again. */
  id: string;
  /** cloudflare. */
  provider: string;
  mediaId: string;
  mediaAttempt: number;
  owner: string;
  /** See `ATTEMPT_STATES` in server/providers/attempts.ts. */
  state: string;
  /** How its bytes get there: copy | push. */
  transfer: string;
  /** The provider's id of the video; null until it is known. */
  videoId: string | null;
  /** Where a push goes on. */
  uploadUrl: string | null;
  /** How many attempts before it ended because the provider could not fetch the source. */
  refetches: number;
  /** A request to make the video ended without an answer: there may be more of them than we know. */
  uncertain: number;
  /** When to submit, look up or poll next; null when there is nothing to do. */
  nextAt: number | null;
  /** Submissions, look-ups or polls since the state was entered: what the next pause grows with. */
  tries: number;
  /** Times in a row that the provider knew no such video. */
  misses: number;
  /** Each claim's number: a process that was paused past its claim sees that it is not the last one any more. */
  epoch: number;
  /** From the moment the provider has taken it. */
  deadline: number | null;
  /** 0 to 100. */
  percent: number;
  errorCode: string | null;
  errorMessage: string | null;
  createdAt: number;
  updatedAt: number;
}

/** How much of a provider's rate limit this installation used: one row each, shared by all processes. */
export interface ProviderRateTable {
  provider: string;
  windowStart: number;
  calls: number;
  /** "Too many requests": nothing is asked before this time. */
  blockedUntil: number;
}

export type MediaRow = Selectable<MediaTable>;
export type NewMediaRow = Insertable<MediaTable>;
export type MediaUpdate = Updateable<MediaTable>;
export type UploadRow = Selectable<UploadTable>;
export type UploadPartRow = Selectable<UploadPartTable>;
export type JobRow = Selectable<JobTable>;
export type OutputRow = Selectable<OutputTable>;
export type SegmentRow = Selectable<SegmentTable>;
export type EventRow = Selectable<EventTable>;
export type ApiKeyRow = Selectable<ApiKeyTable>;
export type EncodeAttemptRow = Selectable<EncodeAttemptTable>;
