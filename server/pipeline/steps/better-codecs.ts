/** The ladder once more in HEVC and AV1, for players that have them: the same quality in fewer bits. */
import type { Config } from '../../config.ts';
import { encodeStream } from '../output/encode-stream.ts';
import { refuse } from '../failures.ts';
import { encoding } from '../footprint.ts';
import type { Ffmpeg } from '../ffmpeg/ffmpeg.ts';
import { ENCODERS, rungsAs, type BetterCodec } from '../encode/encoders.ts';
import { rungsOf, type Rung } from '../encode/ladder.ts';
import { isStored } from '../output/stored.ts';
import { inParts } from '../parts/open-parts.ts';
import { partTask } from '../parts/parts.ts';
import type { Source } from '../../media/source.ts';
import type { Step, StepContext } from '../step.ts';
import { chunkNeeds, runChunk } from './chunk.ts';
import { runJoin } from './join.ts';

const betterRungs = (codec: BetterCodec, source: Source, heights: readonly number[]): Rung[] =>
  rungsAs(codec, rungsOf(source, heights));

/** The step, and those of its parts. The sound is that of H.264: players combine every picture with every sound. */
function betterSteps(codec: BetterCodec, priority: number): Step[] {
  const rungsIn = (ctx: StepContext): Rung[] => betterRungs(codec, ctx.source(), ctx.encoding.ladder);
  // Of a part, too: nothing else of the background runs on this machine.
  const encoders = ({ mostThreads: threads }: Config['encoding']) => ({ codec, threads });
  const all = {
    ...{ priority, required: false, background: true, extra: true },
    done: ({ outputs }) => outputs.has(codec),
  } satisfies Partial<Step>;
  const part = { ...all, partOf: codec, due: ({ begun }) => begun.has(codec) } satisfies Partial<Step>;
  const whole: Step = {
    ...all,
    name: codec,
    needs: (source, settings) =>
      encoding(source, betterRungs(codec, source, settings.ladder), 0, encoders(settings)),
    due: (state) =>
      state.encoding.codecs.includes(codec) &&
      isStored(state) &&
      !!state.source &&
      betterRungs(codec, state.source, state.encoding.ladder).length > 0,
    async run(ctx) {
      await refuseMissing(ctx.ffmpeg, codec);
      const wanted = { rungs: rungsIn(ctx), audio: false, codec };
      const opened = await inParts(ctx, { kind: codec, priority, watched: false, ...wanted });
      return opened ?? (await encodeStream(ctx, codec, wanted)).commit;
    },
  };
  const chunk: Step = {
    ...part,
    name: partTask(codec, 'chunk'),
    needs: (source, settings) =>
      chunkNeeds(source, betterRungs(codec, source, settings.ladder), settings, encoders(settings)),
    async run(ctx) {
      await refuseMissing(ctx.ffmpeg, codec);
      // Nothing else of the background runs on this machine.
      return runChunk(ctx, { rungs: rungsIn(ctx), codec, threads: () => ctx.encoding.threads });
    },
  };
  const join: Step = { ...part, name: partTask(codec, 'join'), fromStored: true, run: runJoin };
  return [whole, chunk, join];
}

export const hevcSteps = betterSteps('hevc', 2);
/** After HEVC, which more of the players that can't do without it have. */
export const av1Steps = betterSteps('av1', 1);

/** A worker that was started with other settings may have another FFmpeg, too. */
async function refuseMissing(ffmpeg: Pick<Ffmpeg, 'encoders'>, codec: BetterCodec): Promise<void> {
  const { name } = ENCODERS[codec];
  if ((await ffmpeg.encoders()).has(name)) return;
  throw refuse('encoder_missing', `The FFmpeg of this worker has no ${name}.`);
}
