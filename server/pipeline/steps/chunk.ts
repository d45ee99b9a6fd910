/** A part of a long stream: a stretch of its picture, or its sounds. See parts.ts. */
import type { Commit } from '../../jobs/job.ts';
import { addSegments, type HlsOutput, type NewSegment } from '../../media/growing.ts';
import { planEncode } from '../encode.ts';
import { encodeChunk, makeFolders } from '../encode-chunk.ts';
import { runPlan } from '../encode-stream.ts';
import { encoding } from '../footprint.ts';
import { frameRate, rungsOf } from '../ladder.ts';
import { chunksOf, giveUpParts, joinWhenWhole, openedOutput, reveal, type PartPayload } from '../parts.ts';
import { RenditionWriter } from '../rendition-writer.ts';
import type { Step, StepContext } from '../step.ts';

export const chunkStep: Step = {
  name: 'chunk',
  priority: 10,
  required: true,
  needs: ({ duration, ...source }, { ladder, chunkSeconds }) => {
    const longest = { ...source, duration: Math.min(duration, 1.5 * chunkSeconds) };
    const picture = encoding(longest, rungsOf(longest, ladder), 0);
    const sounds = encoding({ ...source, duration }, [], source.audio.length);
    return { bytes: Math.max(picture.bytes, sounds.bytes), memory: Math.max(picture.memory, sounds.memory) };
  },
  // Its jobs are added by the step that opened the output.
  done: () => true,
  due: () => false,
  async run(ctx) {
    const payload = ctx.payload as unknown as PartPayload;
    const { kind, part } = payload;
    const output = await openedOutput(ctx.db, ctx.media, kind);
    if (!output) return () => Promise.resolve();
    const made = part === 'sound' ? await encodeSounds(ctx, output) : await encodePart(ctx, output, part);
    if (!made) return (trx) => giveUpParts(trx, ctx.media, kind, output);
    return async (trx) => {
      await made(trx);
      const opened = await openedOutput(trx, ctx.media, kind);
      if (!opened) return;
      await reveal(trx, ctx.media, opened);
      await joinWhenWhole(trx, ctx.media, payload, opened.details);
    };
  },
};

/** Undefined when what came out would not fit in its place. */
async function encodePart(ctx: StepContext, output: HlsOutput, part: number): Promise<Commit | undefined> {
  const source = ctx.source();
  const chunk = chunksOf(source, ctx.encoding)?.[part];
  const rungs = rungsOf(source, ctx.encoding.ladder).filter(({ name }) =>
    output.details.variants.some((variant) => variant.name === name),
  );
  if (!chunk || rungs.length < output.details.variants.length) return undefined; // settings have changed since
  const segments = await encodeChunk(ctx, { rungs, chunk, prefix: output.prefix });
  return segments && ((trx) => addSegments(trx, output.id, segments));
}

/** All sounds, from start to end: cutting them would be heard. */
async function encodeSounds(ctx: StepContext, output: HlsOutput): Promise<Commit> {
  const source = ctx.source();
  const rate = source.video ? frameRate(source.video) : { value: 0, text: '0' };
  const plan = planEncode(source, { rungs: [], rate, audio: true }, ctx.encoding);
  await makeFolders(ctx, plan);
  await runPlan(ctx, plan, 'Encoding the sound', ctx.signal);
  const segments: NewSegment[] = [];
  for (const { name } of plan.audio) {
    const writer = new RenditionWriter(ctx, plan.root, name, false);
    if (!writer.begun) continue; // nothing could be decoded
    await writer.open(output.prefix, []);
    segments.push(...(await writer.store(true)));
  }
  return (trx) => addSegments(trx, output.id, segments);
}
