/** Media as the API shows them. */
import type { EncodeAttemptRow, JobRow, MediaRow, OutputRow, UploadRow } from '../../db/schema.ts';
import type { Context } from '../context.ts';
import type { JobProgress } from '../jobs/job.ts';
import { shown } from '../hls/multivariant.ts';
import {
  isHls,
  type HlsDetails,
  type HlsKind,
  type OutputDetails,
  type OutputKind,
} from '../media/output.ts';
import type { Source } from '../media/source.ts';
import { extrasOf, type ExtrasView } from './extras-view.ts';
import { OPEN_STATES } from '../providers/index.ts';
import { isOpening, progressOfParts } from './parts-progress.ts';
import { playbackUrl, urlOf } from './urls.ts';
import { isBackground } from '../pipeline/index.ts';

export interface PlaybackView extends ExtrasView {
  hls: string;
}

/** What is being done, and how far it is. `step` is `upload` or the task of a job. */
export interface ProgressView extends JobProgress {
  step: string;
}

/** The rows that belong to a page of media, read in four queries whatever the length of the page. */
interface Related {
  uploads: UploadRow[];
  outputs: OutputRow[];
  jobs: JobRow[];
  attempts: EncodeAttemptRow[];
}

export type MediaView = ReturnType<typeof toView>;

/** Shows media rows, in their order. */
export async function viewMedia(ctx: Context, rows: MediaRow[]): Promise<MediaView[]> {
  const related = await relatedRows(ctx, rows);
  return rows.map((media) => toView(ctx, media, related));
}

/** Where a media plays; null until its first renditions are there. */
export function playbackOf(ctx: Context, media: MediaRow, outputs: OutputRow[]): PlaybackView | null {
  // What is cancelled is being removed.
  if (media.status === 'cancelled') return null;
  if (!outputs.some((output) => isHls(output) || output.kind === 'stream')) return null;
  // The same address whoever encoded it: a provider's is handed out by a redirect, when it is asked for.
  return { hls: playbackUrl(ctx, media, 'hls/index.m3u8'), ...extrasOf(ctx, media, outputs) };
}

/** Milliseconds since the epoch -> ISO 8601. */
export const isoTime = (ms: number): string => new Date(ms).toISOString();

function toView(ctx: Context, media: MediaRow, related: Related) {
  const own = ({ mediaId }: { mediaId: string | null }): boolean => mediaId === media.id;
  const upload = related.uploads.find(own);
  const stored = related.outputs.filter(own);
  const outputs = stored.filter((output) => !isOpening(output));
  return {
    id: media.id,
    status: media.status,
    title: media.title,
    owner: media.owner,
    createdAt: isoTime(media.createdAt),
    updatedAt: isoTime(media.updatedAt),
    visibility: media.visibility,
    filename: media.filename,
    filetype: media.filetype,
    attempt: media.attempt,
    encoder: media.encoder,
    upload: upload ? uploadView(ctx, media, upload) : null,
    source: media.source === null ? null : (JSON.parse(media.source) as Source),
    sourceDeletedAt: media.sourceDeletedAt === null ? null : isoTime(media.sourceDeletedAt),
    outputs: [
      ...streamView(ctx, media, outputs.filter(isHls)),
      ...outputs.filter((output) => !isHls(output)).map((output) => outputView(ctx, media, output)),
    ],
    playback: playbackOf(ctx, media, outputs),
    progress:
      progressOf(media, upload, related.jobs.filter(own), stored) ??
      remoteProgress(related.attempts.find(own)),
    ...(media.errorCode === null ? {} : { error: { code: media.errorCode, message: media.errorMessage } }),
  };
}

function uploadView(ctx: Context, media: MediaRow, { offset, length }: UploadRow) {
  const url = media.status === 'uploading' ? { url: urlOf(ctx, `/files/${media.id}`) } : {};
  return { offset, length, ...url };
}

const FIRST_FILE: Record<Exclude<OutputKind, HlsKind>, string> = {
  poster: 'poster.jpg',
  storyboard: 'storyboard.vtt',
  waveform: 'waveform.json',
  subtitles: 'subtitles/1.vtt',
  mp4: 'download.mp4',
  m4a: 'download.m4a',
  stream: 'hls/index.m3u8',
};

/** The outputs that hold renditions, as the one stream that they are for viewers. */
function streamView(ctx: Context, media: MediaRow, rows: OutputRow[]) {
  const outputs = shown(rows.map((row) => ({ ...row, details: JSON.parse(row.details) as HlsDetails })));
  const [first] = outputs;
  if (!first) return [];
  return [
    {
      kind: 'hls',
      bytes: outputs.reduce((sum, { bytes }) => sum + bytes, 0),
      createdAt: isoTime(Math.max(...outputs.map(({ createdAt }) => createdAt))),
      growing: first.details.state === 'growing',
      duration: first.details.duration,
      variants: outputs
        .flatMap(({ details }) => details.variants)
        .sort((a, b) => b.width * b.height - a.width * a.height),
      audio: outputs.find(({ details }) => details.audio.length)?.details.audio ?? [],
      url: playbackUrl(ctx, media, 'hls/index.m3u8'),
    },
  ];
}

function outputView(ctx: Context, media: MediaRow, { kind, bytes, createdAt, details }: OutputRow) {
  const file = FIRST_FILE[kind as Exclude<OutputKind, HlsKind>];
  return {
    kind,
    bytes,
    createdAt: isoTime(createdAt),
    ...(JSON.parse(details) as OutputDetails[OutputKind]),
    url: playbackUrl(ctx, media, file),
  };
}

function progressOf(
  media: MediaRow,
  upload: UploadRow | undefined,
  jobs: JobRow[],
  outputs: OutputRow[],
): ProgressView | null {
  if (media.status === 'uploading' && upload) {
    const percent = upload.length ? Math.floor((upload.offset / upload.length) * 1000) / 10 : 0;
    return { percent, step: 'upload' };
  }
  const current = jobs.filter(
    ({ mediaAttempt, task }) => mediaAttempt === media.attempt && !isBackground(task),
  );
  const chunks = current.filter(({ task }) => task === 'chunk');
  if (chunks.length) return progressOfParts(chunks, outputs);
  const job =
    current.find(({ task, status }) => task === 'ladder' && status === 'running') ?? // by far the longest
    current.find(({ task, status }) => task === 'first' && status === 'running') ??
    current.find(({ status }) => status === 'running') ??
    current[0];
  if (!job) return null;
  return { percent: 0, ...(job.progress ? (JSON.parse(job.progress) as JobProgress) : {}), step: job.task };
}

/** What a provider is doing, when nothing is done here. */
function remoteProgress(attempt: EncodeAttemptRow | undefined): ProgressView | null {
  if (!attempt) return null;
  const { percent, videoId } = attempt;
  return {
    percent,
    step: 'stream',
    stage: videoId ? 'Cloudflare Stream encodes it' : 'Waiting for Cloudflare Stream',
  };
}

async function relatedRows({ db }: Context, rows: MediaRow[]): Promise<Related> {
  const ids = rows.map(({ id }) => id);
  if (!ids.length) return { uploads: [], outputs: [], jobs: [], attempts: [] };
  const [uploads, outputs, jobs, attempts] = await Promise.all([
    db.selectFrom('upload').selectAll().where('mediaId', 'in', ids).where('kind', '!=', 'partial').execute(),
    db.selectFrom('output').selectAll().where('mediaId', 'in', ids).orderBy('id').execute(),
    db
      .selectFrom('job')
      .selectAll()
      .where('mediaId', 'in', ids)
      .where('mediaAttempt', 'is not', null)
      .where('status', 'in', ['queued', 'running'])
      .orderBy('id')
      .execute(),
    db
      .selectFrom('encodeAttempt')
      .selectAll()
      .where('mediaId', 'in', ids)
      .where('state', 'in', OPEN_STATES)
      .execute(),
  ]);
  return { uploads, outputs, jobs, attempts };
}
