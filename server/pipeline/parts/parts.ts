/**
 * A long stream as many jobs: `chunk` jobs encode stretches of the picture and one encodes the sounds, on whatever
 * workers are free, all into one output that the step which wanted it (`first`, `ladder`) has opened. When all are done,
 * a `join` job writes the playlists of the whole. Those of `hevc` and `av1` have tasks of their own (`partTask`).
 *
 * Segments get their names and numbers from the plan and the job's attempt, and become rows when they are stored, or,
 * when nobody can see them yet, in the commit that ends the chunk. Viewers see them up to the first that is missing.
 */
import type { Db, Trx } from '../../../db/dialect.ts';
import type { MediaRow } from '../../../db/schema.ts';
import type { NewJob } from '../../jobs/job.ts';
import { add, addAll, cancelJob } from '../../jobs/queue.ts';
import type { Config } from '../../config.ts';
import { addSegments, hlsOutputs, segmentsOf, updateDetails } from '../../media/growing.ts';
import type { HlsOutput, NewSegment } from '../../media/growing.ts';
import { isBetter, type HlsKind } from '../../media/output.ts';
import type { Source, SourceVideo } from '../../media/source.ts';
import { frameRate } from '../encode/ladder.ts';
import { chunkOf, seekTime, stretches, type Stretch } from './chunks.ts';

/**
 * The task of the parts of a kind, or of their end. What is made in the background has its own, `hevc-chunk` for one, so that
 * only the worker of that takes its jobs.
 */
export const partTask = (kind: HlsKind, task: 'chunk' | 'join'): string =>
  isBetter({ kind }) ? `${kind}-${task}` : task;

/** Payload of `chunk` jobs; of `join` jobs only the kind. */
export interface PartPayload {
  kind: HlsKind;
  /** Of the picture. Absent: the sounds. It is planned once, so workers need not agree on settings. */
  stretch?: Stretch;
}

type Settings = Pick<Config['encoding'], 'longestChunk' | 'concurrency' | 'partThreads' | 'processors'>;

/** Containers with an index: seeking finds the frame that is meant. */
const SEEKABLE = /^(mov|matroska)/;
/** Seconds below which another start of FFmpeg costs more than two of them side by side save. */
const SHORTEST = 30;
/** The same where one of them keeps all cores busy: two side by side are in each other's way, more so at the end. */
const SHORTEST_FOR_FEW = 120;
/** So many cores one FFmpeg with a ladder keeps busy. */
const FEW = 2;
/** Somebody may be watching what grows: more segments in one piece come sooner than the first of many pieces. */
const SHORTEST_WATCHED = 120;

/** Whether a source is cut into parts: it is long enough, and can be cut without a seam. `watched`: viewers wait for it. */
export function isCut(
  { video, container }: Source,
  { longestChunk, processors }: Settings,
  { watched = false } = {},
): boolean {
  // Uneven pictures may stand for longer than a chunk's run-up: it would begin with a later one.
  if (!video || video.variableFrameRate || !longestChunk || !SEEKABLE.test(container)) return false;
  const few = processors <= FEW ? SHORTEST_FOR_FEW : SHORTEST;
  return video.end >= Math.min(2 * longestChunk, watched ? SHORTEST_WATCHED : few);
}

/**
 * How the picture of a source is cut into parts. `findKeyFrames` is asked when they matter: for the times of its own, in
 * order, where they are known.
 */
export async function partsOf(
  video: SourceVideo,
  { longestChunk, concurrency, partThreads }: Settings,
  findKeyFrames: () => Promise<readonly number[] | undefined>,
): Promise<Stretch[]> {
  // Other workers may be free, even where this one does one thing at a time.
  const cutting = { longest: longestChunk, atOnce: Math.max(2, concurrency), threads: partThreads };
  const keyFrames = await findKeyFrames();
  if (!keyFrames) return stretches(video.end, cutting);
  return stretches(video.end, {
    ...cutting,
    runUp(start) {
      const seek = seekOf(video, start);
      return start - (keyFrames.findLast((time) => time <= seek) ?? 0);
    },
  });
}

/** Where the decoder of a part that begins at `start` is sent, in seconds: its key frame is the last one before that. */
export function seekOf(video: SourceVideo, start: number): number {
  const rate = frameRate(video);
  return seekTime(chunkOf({ start }, rate), rate);
}

/** Outputs that parts fill. */
async function openedOutputs(db: Db | Trx, { id, attempt }: MediaRow): Promise<HlsOutput[]> {
  const outputs = await hlsOutputs(db, id, { opening: true });
  return outputs.filter(({ mediaAttempt, details }) => mediaAttempt === attempt && details.parts);
}

/** The output that the parts of a kind fill. */
export const openedOutput = async (
  db: Db | Trx,
  media: MediaRow,
  kind: HlsKind,
): Promise<HlsOutput | undefined> => (await openedOutputs(db, media)).find((o) => o.kind === kind);

/** Adds the jobs of parts. Those that come first are claimed first. */
export async function addParts(
  trx: Trx,
  media: MediaRow,
  priority: number,
  parts: readonly PartPayload[],
): Promise<void> {
  await addAll(
    trx,
    parts.map((part) => partJob(media, 'chunk', priority, part, nameOf(part))),
  );
}

/** What `details.parts` calls a part. */
export const nameOf = ({ stretch }: PartPayload): number | 'sound' => stretch?.start ?? 'sound';

/**
 * Adds segments of a part. Viewers may see the output once something of every rendition is there, unless they have
 * something else.
 */
export async function addToOpened(
  trx: Trx,
  media: MediaRow,
  kind: HlsKind,
  segments: readonly NewSegment[],
): Promise<void> {
  const output = await openedOutput(trx, media, kind);
  if (!output) return;
  await addSegments(trx, output.id, segments);
  if (output.details.state !== 'opening' || (await hlsOutputs(trx, media.id)).length) return;
  for (const { name } of [...output.details.variants, ...output.details.audio])
    if (!(await segmentsOf(trx, output.id, name)).length) return;
  await updateDetails(trx, output.id, { ...output.details, state: 'growing' });
}

/**
 * Adds the `join` job of each opened output of which every part has ended well. A ladder is not whole before `first` is:
 * it has neither its sounds nor its rung. Two ends don't miss each other: the commits of a media's steps wait for its row.
 */
export async function joinWhatIsWhole(
  trx: Trx,
  media: MediaRow,
  priorityOf: (step: string) => number,
): Promise<void> {
  for (const output of await openedOutputs(trx, media)) {
    const kind = output.kind as HlsKind;
    const { parts = [] } = output.details;
    if (!(await haveEnded(trx, media, kind, parts))) continue;
    if (kind === 'ladder' && (await firstRuns(trx, media))) continue;
    await add(trx, partJob(media, 'join', priorityOf(kind), { kind }, 'join'));
  }
}

async function haveEnded(
  trx: Trx,
  media: MediaRow,
  kind: HlsKind,
  parts: readonly (number | 'sound')[],
): Promise<boolean> {
  const keys = parts.map((part) => keyOf(media, kind, part));
  const { count } = await trx
    .selectFrom('job')
    .select((eb) => eb.fn.countAll<number | string>().as('count'))
    .where('key', 'in', keys)
    .where('status', '=', 'succeeded')
    .executeTakeFirstOrThrow();
  return Number(count) === parts.length;
}

/** The step `first`, or some part of it, is still to be done. */
async function firstRuns(trx: Trx, media: MediaRow): Promise<boolean> {
  const open = await trx
    .selectFrom('job')
    .select('id')
    .where('mediaId', '=', media.id)
    .where('mediaAttempt', '=', media.attempt)
    .where('key', 'like', `${media.id}:first%`)
    .where('status', 'in', ['queued', 'running'])
    .executeTakeFirst();
  return open !== undefined;
}

/** The parts don't fit together: their output is given up, and the step encodes the whole in one job. */
export async function giveUpParts(
  trx: Trx,
  media: MediaRow,
  kind: HlsKind,
  output: HlsOutput,
): Promise<void> {
  await trx.deleteFrom('output').where('id', '=', output.id).execute();
  const keys = (output.details.parts ?? []).map((part) => keyOf(media, kind, part));
  const open = await trx
    .selectFrom('job')
    .select('id')
    .where('key', 'in', keys)
    .where('status', 'in', ['queued', 'running'])
    .execute();
  for (const { id } of open) await cancelJob(trx, id);
  await add(trx, {
    key: keyOf(media, kind, 'whole'),
    task: kind,
    mediaId: media.id,
    mediaAttempt: media.attempt,
    owner: media.owner,
    payload: { whole: true },
  });
}

const keyOf = (media: MediaRow, kind: HlsKind, part: number | string): string =>
  `${media.id}:${kind}-${part}:${media.attempt}`;

/** `name`: what its key calls it. */
function partJob(
  media: MediaRow,
  task: 'chunk' | 'join',
  priority: number,
  payload: PartPayload,
  name: number | string,
): NewJob {
  const { id: mediaId, attempt: mediaAttempt, owner } = media;
  return {
    key: keyOf(media, payload.kind, name),
    task: partTask(payload.kind, task),
    ...{ mediaId, mediaAttempt, owner, priority },
    payload: { ...payload },
  };
}
