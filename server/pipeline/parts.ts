/**
 * A long stream as many jobs: `chunk` jobs encode stretches of the picture and one encodes the sounds, on whatever
 * workers are free, all into one output that the step which wanted it (`first`, `ladder`) has opened. When the last one
 * is done, a `join` job writes the playlists of the whole.
 *
 * Segments get their names and numbers from the plan and the job's attempt, and become rows in the commit that ends the
 * chunk: viewers see them up to the first that is missing.
 */
import type { Db, Trx } from '../../db/dialect.ts';
import type { MediaRow } from '../../db/schema.ts';
import { cancelJob, add } from '../jobs/queue.ts';
import type { Config } from '../config.ts';
import type { HlsDetails } from '../hls/model.ts';
import { hlsOutputs, segmentsOf, updateDetails, type HlsOutput } from '../media/growing.ts';
import type { HlsKind } from '../media/output.ts';
import type { Source } from '../media/source.ts';
import { planChunks, type Chunk } from './chunks.ts';
import { frameRate } from './ladder.ts';

/** Payload of `chunk` and `join` jobs. */
export interface PartPayload {
  kind: HlsKind;
  /** Index of the chunk, or the sounds. */
  part: number | 'sound';
  /** Of all jobs of this stream. */
  priority: number;
}

/** Seconds of the first chunk, which is there when the output is opened. */
const HEAD_SECONDS = 6;
/** Containers with an index: seeking finds the frame that is meant. */
const SEEKABLE = /^(mov|matroska)/;

/** The chunks of a source; undefined when it is too short, or can't be cut without a seam. */
export function chunksOf(source: Source, encoding: Config['encoding']): Chunk[] | undefined {
  const { video, container } = source;
  // Uneven pictures may stand for longer than a chunk's run-up: it would begin with a later one.
  if (!video || video.variableFrameRate || !encoding.chunkSeconds || !SEEKABLE.test(container))
    return undefined;
  const times = { headSeconds: HEAD_SECONDS, chunkSeconds: encoding.chunkSeconds };
  const chunks = planChunks(video.end, frameRate(video), times);
  return chunks.length > 1 ? chunks : undefined;
}

/** The output that the parts of a kind fill. */
export async function openedOutput(
  db: Db | Trx,
  media: MediaRow,
  kind: HlsKind,
): Promise<HlsOutput | undefined> {
  const outputs = await hlsOutputs(db, media.id, { opening: true });
  return outputs.find((o) => o.kind === kind && o.mediaAttempt === media.attempt && o.details.parts);
}

/** Adds the jobs of all parts but the head. The sounds come first: without them nothing plays. */
export async function addParts(
  trx: Trx,
  media: MediaRow,
  stream: Pick<PartPayload, 'kind' | 'priority'>,
  { parts = [] }: HlsDetails,
): Promise<void> {
  for (const part of parts)
    await addPart(trx, media, 'chunk', { ...stream, part }, keyOf(media, stream.kind, part));
}

/**
 * What follows when segments of a part were added, in the same transaction: viewers may see the output once something
 * of every rendition is there, unless they have something complete already.
 */
export async function reveal(trx: Trx, media: MediaRow, output: HlsOutput): Promise<void> {
  if (output.details.state !== 'opening') return;
  const others = await hlsOutputs(trx, media.id);
  if (others.length) return;
  for (const { name } of [...output.details.variants, ...output.details.audio])
    if (!(await segmentsOf(trx, output.id, name)).length) return;
  await updateDetails(trx, output.id, { ...output.details, state: 'growing' });
}

/** Adds the `join` job when every part has ended well. Call it in the commit of a part, after its job was completed. */
export async function joinWhenWhole(
  trx: Trx,
  media: MediaRow,
  { kind, priority }: PartPayload,
  { parts = [] }: HlsDetails,
): Promise<void> {
  const { count } = await trx
    .selectFrom('job')
    .select((eb) => eb.fn.countAll<number | string>().as('count'))
    .where(
      'key',
      'in',
      parts.map((part) => keyOf(media, kind, part)),
    )
    .where('status', '=', 'succeeded')
    .executeTakeFirstOrThrow();
  if (Number(count) === parts.length)
    await addPart(trx, media, 'join', { kind, part: 0, priority }, keyOf(media, kind, 'join'));
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

async function addPart(
  trx: Trx,
  media: MediaRow,
  task: 'chunk' | 'join',
  payload: PartPayload,
  key: string,
): Promise<void> {
  const { id: mediaId, attempt: mediaAttempt, owner } = media;
  await add(trx, {
    key,
    task,
    mediaId,
    mediaAttempt,
    owner,
    priority: payload.priority,
    payload: { ...payload },
  });
}
