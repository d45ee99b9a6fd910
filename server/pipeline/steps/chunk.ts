/** A part of a long stream: a stretch of its picture, or its sounds. See parts.ts. */
import { countPressing } from '../../jobs/queue.ts';
import { hlsOutputs, type HlsOutput, type NewSegment } from '../../media/growing.ts';
import type { Source } from '../../media/source.ts';
import { MANY_JOBS, threadsOf, type Stretch } from '../parts/chunks.ts';
import { encodeChunk, encodeSounds, type Grow } from '../parts/encode-chunk.ts';
import { encoding } from '../footprint.ts';
import { rungsOf, type Rung } from '../encode/ladder.ts';
import { addToOpened, giveUpParts, openedOutput, type PartPayload } from '../parts/parts.ts';
import type { Step, StepContext } from '../step.ts';

export const chunkStep: Step = {
  name: 'chunk',
  priority: 10,
  required: true,
  needs: ({ duration, ...source }, { ladder, longestChunk }) => {
    const longest = { ...source, duration: Math.min(duration, 2 * longestChunk) };
    const picture = encoding(longest, rungsOf(longest, ladder), 0);
    const sounds = encoding({ ...source, duration }, [], source.audio.length);
    return { bytes: Math.max(picture.bytes, sounds.bytes), memory: Math.max(picture.memory, sounds.memory) };
  },
  // Its jobs are added by the step that opened the output.
  done: () => true,
  due: () => false,
  async run(ctx) {
    const { kind, stretch } = ctx.payload as unknown as PartPayload;
    const output = await openedOutput(ctx.db, ctx.media, kind);
    if (!output) return () => Promise.resolve();
    const { prefix } = output;
    const grow: Grow = (segments) => ctx.commit((trx) => addToOpened(trx, ctx.media, kind, segments));
    const job = { prefix, grow: (await isWatched(ctx, output)) ? grow : undefined };
    const rungs = rungsIn(ctx.source(), ctx.encoding.ladder, output);
    let segments: NewSegment[] | undefined;
    if (!stretch) segments = await encodeSounds(ctx, job);
    else if (rungs)
      segments = await encodeChunk(ctx, { ...job, rungs, stretch, threads: await threadsFor(ctx, stretch) });
    if (!segments) return (trx) => giveUpParts(trx, ctx.media, kind, output);
    const made = segments;
    return (trx) => addToOpened(trx, ctx.media, kind, made);
  },
};

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
function rungsIn(source: Source, heights: readonly number[], { details }: HlsOutput): Rung[] | undefined {
  const names = details.variants.map(({ name }) => name);
  const rungs = rungsOf(source, heights).filter(({ name }) => names.includes(name));
  return rungs.length === names.length ? rungs : undefined;
}
