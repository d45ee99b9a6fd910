/** A part of a long stream: a stretch of its picture, or its sounds. See parts.ts. */
import type { Config } from '../../config.ts';
import type { Commit } from '../../jobs/job.ts';
import { countPressing } from '../../jobs/queue.ts';
import { hlsOutputs, type HlsOutput, type NewSegment } from '../../media/growing.ts';
import type { Source } from '../../media/source.ts';
import { MANY_JOBS, threadsOf, type Stretch } from '../parts/chunks.ts';
import { encodeChunk, encodeSounds, type Grow } from '../parts/encode-chunk.ts';
import { encoding, type EncodingSettings, type Needs } from '../footprint.ts';
import type { Wanted } from '../encode/encode.ts';
import { rungsOf, type Rung } from '../encode/ladder.ts';
import { addToOpened, giveUpParts, openedOutput, type PartPayload } from '../parts/parts.ts';
import type { Step, StepContext } from '../step.ts';

export const chunkStep: Step = {
  name: 'chunk',
  priority: 10,
  required: true,
  needs: (source, settings) => {
    const picture = chunkNeeds(source, rungsOf(source, settings.ladder), settings, {
      threads: settings.chunkThreads,
    });
    const sounds = encoding(source, [], source.audio.length, { threads: settings.chunkThreads });
    return { bytes: Math.max(picture.bytes, sounds.bytes), memory: Math.max(picture.memory, sounds.memory) };
  },
  // Its jobs are added by the step that opened the output.
  done: () => true,
  due: () => false,
  run: (ctx) =>
    runChunk(ctx, {
      rungs: rungsOf(ctx.source(), ctx.encoding.ladder),
      threads: (stretch) => threadsFor(ctx, stretch),
    }),
};

/** What a stretch of these rungs takes. */
export function chunkNeeds(
  source: Source,
  rungs: readonly Rung[],
  { longestChunk }: Config['encoding'],
  encoders: EncodingSettings,
): Needs {
  const duration = Math.min(source.duration, 2 * longestChunk);
  return encoding({ ...source, duration }, rungs, 0, encoders);
}

export interface ChunkRun extends Pick<Wanted, 'codec'> {
  /** All that may have been opened, as settings are now. */
  rungs: readonly Rung[];
  /** Of the encoder of a stretch; 0: one for each core. */
  threads(stretch: Stretch): number | Promise<number>;
}

/** Encodes the part that the job's payload names, into the output that was opened for it. Gives all parts up when it doesn't fit. */
export async function runChunk(ctx: StepContext, { rungs, codec, threads }: ChunkRun): Promise<Commit> {
  const { kind, stretch } = ctx.payload as unknown as PartPayload;
  const output = await openedOutput(ctx.db, ctx.media, kind);
  if (!output) return () => Promise.resolve();
  const { prefix } = output;
  const grow: Grow = (segments) => ctx.commit((trx) => addToOpened(trx, ctx.media, kind, segments));
  const job = { prefix, codec, grow: (await isWatched(ctx, output)) ? grow : undefined };
  const wanted = rungsIn(output, rungs);
  let segments: NewSegment[] | undefined;
  if (!stretch) segments = await encodeSounds(ctx, job);
  else if (wanted)
    segments = await encodeChunk(ctx, { ...job, rungs: wanted, stretch, threads: await threads(stretch) });
  if (!segments) return (trx) => giveUpParts(trx, ctx.media, kind, output);
  const made = segments;
  return (trx) => addToOpened(trx, ctx.media, kind, made);
}

/** By the jobs that are left, counted as far as their number matters, and by what of the stream is. */
async function threadsFor(
  { db, encoding: settings, source }: Pick<StepContext, 'db' | 'encoding' | 'source'>,
  { start, end }: Stretch,
): Promise<number> {
  const left = (source().video?.end ?? 0) - start;
  const share = { length: end === undefined ? left : end - start, left };
  const jobs = await countPressing(db, chunkStep.priority, MANY_JOBS * settings.processors);
  return threadsOf(jobs, settings, share);
}

/** There is nothing else to be watched. */
async function isWatched({ db, media }: StepContext, { id }: HlsOutput): Promise<boolean> {
  return (await hlsOutputs(db, media.id)).every((other) => other.id === id);
}

/** The rungs that an output was opened for; undefined when settings have changed since. */
function rungsIn({ details }: HlsOutput, rungs: readonly Rung[]): Rung[] | undefined {
  const names = details.variants.map(({ name }) => name);
  const wanted = rungs.filter(({ name }) => names.includes(name));
  return wanted.length === names.length ? wanted : undefined;
}
