/** Encodes one stretch of a long picture. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { NewSegment } from '../media/growing.ts';
import { lengthOf, type Chunk } from './chunks.ts';
import { planEncode, type StreamPlan } from './encode.ts';
import { runPlan } from './encode-stream.ts';
import { frameRate, type Rung } from './ladder.ts';
import { RenditionWriter } from './rendition-writer.ts';
import type { StepContext } from './step.ts';

/** Frames of a chunk, in seconds, may be off by half of one: playlists have microseconds. */
const ROUNDING = 0.5;

export interface ChunkJob {
  rungs: readonly Rung[];
  chunk: Chunk;
  /** Of the output. */
  prefix: string;
  /** This one stores the initialization segments, which those of all other chunks must equal. */
  isHead?: boolean;
  /** Called with the writers, when there is something to read of them. */
  onWritten?: (writers: readonly RenditionWriter[]) => void;
}

/** Encodes a chunk and stores its segments. Undefined when they would not fit in their place. */
export async function encodeChunk(ctx: StepContext, job: ChunkJob): Promise<NewSegment[] | undefined> {
  const { rungs, chunk, prefix, isHead = false } = job;
  const source = ctx.source();
  if (!source.video) throw new Error('only a picture is cut into chunks');
  const rate = frameRate(source.video);
  const plan = planEncode(source, { rungs, rate, audio: false, chunk }, ctx.encoding);
  const writers = plan.video.map(({ name }) => new RenditionWriter(ctx, plan.root, name, true, chunk));
  await makeFolders(ctx, plan);
  await runPlan(ctx, plan, `Encoding from ${Math.round(chunk.start)} s`, ctx.signal, lengthOf(chunk, rate));
  const segments: NewSegment[] = [];
  for (const writer of writers) {
    if (isHead) await writer.open(prefix, []);
    else if (!(await writer.joins(prefix))) return undefined;
    segments.push(...(await writer.store(true)));
    const missing = Math.abs((lengthOf(chunk, rate) ?? writer.duration) - writer.duration);
    if (!writer.segments.length || missing > ROUNDING / rate.value) return undefined;
  }
  job.onWritten?.(writers);
  return segments;
}

/** FFmpeg makes no folders. */
export async function makeFolders(
  { scratch }: StepContext,
  { root, video, audio }: StreamPlan,
): Promise<void> {
  for (const { name } of [...video, ...audio]) await mkdir(join(scratch, root, name), { recursive: true });
}
