/** The source's own picture, cut at its key frames without encoding: it plays within seconds of the last byte. */
import { refuseUnfit, segmentCheck, Unfit } from '../encode/copying.ts';
import { planCopy } from '../encode/encode.ts';
import { runPlan } from '../output/encode-stream.ts';
import { saidNo } from '../failures.ts';
import { remuxing } from '../footprint.ts';
import { copyable, isKept, keepsSound, mayKeep } from '../encode/fitness.ts';
import type { MediaState, Step } from '../step.ts';
import { stream } from '../output/stream.ts';

export const copyStep: Step = {
  name: 'copy',
  priority: 28,
  // Without it the ladder is what plays first.
  required: false,
  needs: remuxing,
  done: ({ outputs }) => outputs.has('copy'),
  // What was begun while the upload arrived is there sooner.
  due: (state) => isWanted(state) && !state.early,
  async run(ctx) {
    const source = ctx.source();
    if (!source.video) throw new Error('a sound is not copied');
    const plan = planCopy(source, source.video, keepsSound(source), mayKeep(source, ctx.encoding));
    const stage = 'Taking over the picture as it is';
    ctx.progress({ percent: 0, stage });
    try {
      const { commit } = await stream(ctx, {
        ...{ kind: 'copy', plan, duration: source.duration, grows: false },
        run: (signal) => runPlan(ctx, plan, stage, signal),
        check: segmentCheck(ctx, plan),
        verify(details, segments) {
          refuseUnfit(source, plan, details);
          return Promise.resolve({ ...details, kept: isKept(source, ctx.encoding, details, segments) });
        },
      });
      return commit;
    } catch (error) {
      if (!(error instanceof Unfit) && !saidNo(error)) throw error;
      ctx.logger.info({ err: error }, 'the picture is not taken over as it is');
      return () => Promise.resolve();
    }
  },
};

const isWanted = ({ source, outputs }: MediaState): boolean =>
  !!source && !outputs.has('ladder') && !outputs.has('first') && copyable(source);

/** It is not known yet whether the source's own picture can be taken. */
export const mayCopy = (state: MediaState): boolean =>
  isWanted(state) && !copyStep.done(state) && (state.early || !state.ended.has(copyStep.name));
