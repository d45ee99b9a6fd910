/** Every rung from one decode, and every sound: or what `first` has left to do. */
import { hlsOutputs } from '../../media/growing.ts';
import { encodeStream } from '../encode-stream.ts';
import { encoding } from '../footprint.ts';
import { needsFirst, rungsOf } from '../ladder.ts';
import { inParts } from '../open-parts.ts';
import type { Step } from '../step.ts';
import { foundation, supersedeOthers } from '../supersede.ts';
import { mayCopy } from './copy.ts';

export const ladderStep: Step = {
  name: 'ladder',
  priority: 10,
  required: true,
  needs: (source, { ladder }) => encoding(source, rungsOf(source, ladder), source.audio.length),
  done: ({ outputs }) => outputs.has('ladder'),
  due(state) {
    const { source, outputs } = state;
    if (!source || mayCopy(state)) return false;
    return outputs.has('first') || outputs.has('copy') || !needsFirst(source, state.encoding.ladder);
  },
  async run(ctx) {
    const source = ctx.source();
    const all = rungsOf(source, ctx.encoding.ladder);
    const first = foundation(await hlsOutputs(ctx.db, ctx.media.id), source, ctx.encoding);
    const rungs = first
      ? all.filter(({ name }) => !first.details.variants.some((v) => v.name === name))
      : all;
    const wanted = { rungs, audio: !first };
    const opened = await inParts(ctx, { kind: 'ladder', priority: ladderStep.priority }, wanted);
    if (opened) return opened;
    const { commit } = await encodeStream(ctx, 'ladder', wanted);
    return async (trx) => {
      await commit(trx);
      await supersedeOthers(trx, ctx.media, source, ctx.encoding);
    };
  },
};
