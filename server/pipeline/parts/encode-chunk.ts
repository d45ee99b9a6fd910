/** Encodes one part of a long stream, and stores it while it is made. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { NewSegment } from '../../media/growing.ts';
import { chunkOf, lengthOf, type Stretch } from './chunks.ts';
import { planEncode, type StreamPlan, type Wanted } from '../encode/encode.ts';
import { runPlan } from '../output/encode-stream.ts';
import { follow } from '../ffmpeg/follow.ts';
import { frameRate, type Rung } from '../encode/ladder.ts';
import { RenditionWriter, ZERO, storeAll } from '../output/rendition-writer.ts';
import type { StepContext } from '../step.ts';

/** Frames of a chunk, in seconds, may be off by half of one: playlists have microseconds. */
const ROUNDING = 0.5;

/** Takes segments that are stored. */
export type Grow = (segments: NewSegment[]) => Promise<void>;

export interface ChunkJob extends Pick<Wanted, 'codec'> {
  rungs: readonly Rung[];
  stretch: Stretch;
  /** Of the output. */
  prefix: string;
  /** Gets segments while others are encoded, when somebody can watch them. */
  grow?: Grow | undefined;
}

/**
 * Encodes the first stretch of a picture, with all that the machine has, as nothing can go on before it. Stores the
 * initialization segments, which those of all other chunks must equal. Undefined when frames are missing.
 */
export async function encodeHead(
  ctx: StepContext,
  job: ChunkJob,
): Promise<{ segments: NewSegment[]; codecs: ReadonlyMap<string, string> } | undefined> {
  const codecs = new Map<string, string>();
  const begin = async (writer: RenditionWriter): Promise<boolean> => {
    await writer.open(job.prefix, []);
    codecs.set(writer.name, writer.codecs);
    return true;
  };
  const segments = await encodePicture(ctx, job, ctx.encoding.threads, begin);
  return segments && { segments, codecs };
}

/**
 * Encodes a chunk and stores its segments; resolves with those that `grow` has not got. Undefined when they would not
 * fit in their place.
 */
export const encodeChunk = (
  ctx: StepContext,
  job: ChunkJob & { threads: number },
): Promise<NewSegment[] | undefined> =>
  encodePicture(ctx, job, job.threads, (writer) => writer.joins(job.prefix));

/** Encodes all sounds, from start to end: cutting them would be heard. One of which nothing can be decoded is left out. */
export async function encodeSounds(
  ctx: StepContext,
  { prefix, grow }: Pick<ChunkJob, 'prefix' | 'grow'>,
): Promise<NewSegment[]> {
  const source = ctx.source();
  const rate = source.video ? frameRate(source.video) : { value: 0, text: '0' };
  const threads = ctx.encoding.chunkThreads;
  const plan = planEncode(source, { rungs: [], rate, audio: true }, { ...ctx.encoding, threads });
  const from = { ...ZERO, end: source.duration };
  const writers = plan.audio.map(({ name }) => new RenditionWriter(ctx, plan.root, name, false, from));
  await makeFolders(ctx, plan);
  const begin = (writer: RenditionWriter): Promise<true> => writer.open(prefix, []).then(() => true);
  const run = (signal: AbortSignal): Promise<void> => runPlan(ctx, plan, 'Encoding the sound', signal);
  return (await storeWhile(ctx, writers, begin, run, grow)) ?? [];
}

async function encodePicture(
  ctx: StepContext,
  { rungs, codec, stretch, grow }: ChunkJob,
  threads: number,
  begin: Begin,
): Promise<NewSegment[] | undefined> {
  const source = ctx.source();
  if (!source.video) throw new Error('only a picture is cut into chunks');
  const rate = frameRate(source.video);
  const chunk = chunkOf(stretch, rate);
  const seconds = lengthOf(chunk, rate);
  const wanted = { rungs, codec, rate, audio: false, chunk };
  const plan = planEncode(source, wanted, { ...ctx.encoding, threads });
  const from = { ...chunk, end: source.duration };
  const writers = plan.video.map(({ name }) => new RenditionWriter(ctx, plan.root, name, true, from));
  await makeFolders(ctx, plan);
  const stage = `Encoding from ${Math.round(chunk.start)} of ${Math.round(source.duration)} s`;
  const options = { seconds, background: codec !== undefined };
  const run = (signal: AbortSignal): Promise<void> => runPlan(ctx, plan, stage, signal, options);
  const segments = await storeWhile(ctx, writers, begin, run, grow);
  const fits = writers.every(
    ({ segments: made, duration }) =>
      made.length && Math.abs((seconds ?? duration) - duration) <= ROUNDING / rate.value,
  );
  return fits ? segments : undefined;
}

/** Opens what a writer writes to. False when its segments would not fit there. */
type Begin = (writer: RenditionWriter) => Promise<boolean>;

/** Undefined when a writer could not begin. */
async function storeWhile(
  ctx: StepContext,
  writers: readonly RenditionWriter[],
  begin: Begin,
  run: (signal: AbortSignal) => Promise<void>,
  grow: Grow | undefined,
): Promise<NewSegment[] | undefined> {
  let begun: RenditionWriter[] | undefined;
  let kept: NewSegment[] = [];
  const round = async (last: boolean): Promise<void> => {
    const ready = begun ?? writers.filter((writer) => writer.begun);
    if (ready.length < writers.length && !last) return;
    if (!begun) for (const writer of ready) if (!(await begin(writer))) throw new DoesNotFit();
    begun = ready;
    kept.push(...(await storeAll(begun, last)));
    if (!grow || last || !kept.length) return;
    await grow(kept);
    kept = [];
  };
  try {
    await follow(ctx.signal, run, round);
    return kept;
  } catch (error) {
    if (error instanceof DoesNotFit) return undefined;
    throw error;
  }
}

class DoesNotFit extends Error {}

/** FFmpeg makes no folders. */
async function makeFolders({ scratch }: StepContext, { root, video, audio }: StreamPlan): Promise<void> {
  for (const { name } of [...video, ...audio]) await mkdir(join(scratch, root, name), { recursive: true });
}
