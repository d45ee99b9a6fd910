/** Every rung from one decode, and every sound: or what `first`, or a copy as the top rung, has left to do. */
import { JobPostponed } from '../../jobs/job.ts';
import { hlsOutputs } from '../../media/growing.ts';
import { encodeStream } from '../output/encode-stream.ts';
import { encoding } from '../footprint.ts';
import { needsFirst, rungsOf } from '../encode/ladder.ts';
import { inParts } from '../parts/open-parts.ts';
import { isCut } from '../parts/parts.ts';
import type { MediaState, Step } from '../step.ts';
import { foundation, missingRungs, supersedeOthers } from '../output/supersede.ts';
import { mayCopy } from './copy.ts';

export const ladderStep: Step = {
  name: 'ladder',
  priority: 10,
  required: true,
  needs: (source, settings) =>
    encoding(source, rungsOf(source, settings.ladder), source.audio.length, {
      threads: settings.mostThreads,
    }),
  done: ({ whole }) => whole,
  due(state) {
    const { source, outputs, early } = state;
    if (!source || early || mayCopy(state)) return false;
    const alone = outputs.has('copy') || !needsFirst(source, state.encoding);
    return alone || outputs.has('first') || besideFirst(state);
  },
  async run(ctx) {
    const { db, media } = ctx;
    const source = ctx.source();
    const outputs = await hlsOutputs(db, media.id, { opening: true });
    const built = foundation(outputs, source, ctx.encoding);
    const wanted = { rungs: missingRungs(built, source, ctx.encoding), audio: !built };
    const watched = !outputs.length && ctx.encoding.playSoon;
    const beside = built !== undefined && built.details.state !== 'complete';
    const job = { kind: 'ladder' as const, priority: ladderStep.priority, watched };
    const opened = await inParts(ctx, { ...job, ...wanted });
    if (opened) return opened;
    if (beside) throw afterFirst();
    const { commit } = await encodeStream(ctx, 'ladder', wanted);
    return async (trx) => {
      await commit(trx);
      await supersedeOthers(trx, media, source, ctx.encoding);
    };
  },
};

/**
 * Viewers have what `first` has made so far; parts of the ladder take what processors it leaves, and wait for it at their end.
 * Where it leaves none, both together would last longer than one after the other: then it is not cut, and not begun.
 */
const besideFirst = ({ source, begun, encoding: settings }: MediaState): boolean =>
  source !== undefined && begun.has('first') && isCut(source, settings);

/** In one piece it would be complete, and shown, without the sounds that `first` has. */
const afterFirst = (): JobPostponed =>
  new JobPostponed({
    code: 'first_unfinished',
    message: 'The lowest rung is still being made. It waits for that to end.',
    delayMs: 5_000,
  });
