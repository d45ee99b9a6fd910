/** The lowest rung alone, with every sound: it plays seconds after the last byte, while the ladder takes its time. */
import { encodeStream } from '../output/encode-stream.ts';
import { encoding } from '../footprint.ts';
import { needsFirst, rungsOf } from '../encode/ladder.ts';
import { inParts } from '../parts/open-parts.ts';
import type { Step } from '../step.ts';
import { mayCopy } from './copy.ts';

export const firstStep: Step = {
  name: 'first',
  // Somebody may be waiting: before other media's ladders and posters.
  priority: 25,
  required: true,
  needs: (source, settings) =>
    encoding(source, rungsOf(source, settings.ladder).slice(-1), source.audio.length, {
      threads: settings.mostThreads,
    }),
  done: ({ outputs }) => outputs.has('first'),
  due(state) {
    const { source, outputs, early } = state;
    if (!source || early || outputs.has('copy') || outputs.has('ladder') || mayCopy(state)) return false;
    return needsFirst(source, state.encoding);
  },
  async run(ctx) {
    const rungs = rungsOf(ctx.source(), ctx.encoding.ladder).slice(-1);
    const wanted = { rungs, audio: true };
    const job = { kind: 'first' as const, priority: firstStep.priority, watched: true };
    return (await inParts(ctx, { ...job, ...wanted })) ?? (await encodeStream(ctx, 'first', wanted)).commit;
  },
};
