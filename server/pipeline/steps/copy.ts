/** The source's own picture, cut at its key frames without encoding: it plays within seconds of the last byte. */
import { reasonOf, refuseUnfit, segmentCheck, Unfit } from '../encode/copying.ts';
import { LONGEST_SEGMENT } from '../encode/cuts.ts';
import { COPIED_PIECE_SECONDS, planCopy } from '../encode/encode.ts';
import { runPlan } from '../output/encode-stream.ts';
import { saidNo } from '../failures.ts';
import { remuxing } from '../footprint.ts';
import { copyable, isKept, keepsSound, mayKeep } from '../encode/fitness.ts';
import { longestKeyFrameInterval } from '../source/key-frame-index.ts';
import type { MediaState, Step, StepContext } from '../step.ts';
import { stream, withinTarget, type StreamJob } from '../output/stream.ts';

/** Bytes from which on viewers don't wait for all of it: to copy less takes about a second. */
const GROWS_FROM = 256 * 1024 * 1024;

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
    const grows = await mayGrow(ctx);
    const plan = planCopy(source, source.video, keepsSound(source), grows || mayKeep(source, ctx.encoding));
    const stage = 'Taking over the picture as it is';
    ctx.progress({ percent: 0, stage });
    const job: StreamJob = {
      ...{ kind: 'copy', plan, duration: source.duration, grows },
      run: (signal) => runPlan(ctx, plan, stage, signal),
      verify(details, segments) {
        refuseUnfit(source, plan, details);
        return Promise.resolve({ ...details, kept: isKept(source, ctx.encoding, details, segments) });
      },
    };
    job.check = withinTarget(job, segmentCheck(ctx, plan));
    try {
      return (await stream(ctx, job)).commit;
    } catch (error) {
      if (!(error instanceof Unfit) && !saidNo(error)) throw error;
      ctx.logger.info(reasonOf(error), 'the picture is not taken over as it is');
      return () => Promise.resolve();
    }
  },
};

/** It takes long, and its index promises that no segment will be longer than a playlist that grows announces. */
async function mayGrow(ctx: StepContext): Promise<boolean> {
  if (ctx.source().size < GROWS_FROM) return false;
  const interval = await longestKeyFrameInterval(await ctx.sourcePath());
  return interval !== undefined && COPIED_PIECE_SECONDS + interval <= LONGEST_SEGMENT;
}

const isWanted = ({ source, outputs }: MediaState): boolean =>
  !!source && !outputs.has('ladder') && !outputs.has('first') && copyable(source);

/** It is not known yet whether the source's own picture can be taken. */
export const mayCopy = (state: MediaState): boolean =>
  isWanted(state) && !copyStep.done(state) && (state.early || !state.ended.has(copyStep.name));
