/** The ladder once more in HEVC and AV1, for players that have them: the same quality in fewer bits. */
import { encodeStream } from '../output/encode-stream.ts';
import { refuse } from '../failures.ts';
import { encoding } from '../footprint.ts';
import type { Ffmpeg } from '../ffmpeg/ffmpeg.ts';
import { ENCODERS, rungsAs, type BetterCodec } from '../encode/encoders.ts';
import { rungsOf } from '../encode/ladder.ts';
import { isStored } from '../output/stored.ts';
import type { Source } from '../../media/source.ts';
import type { Step } from '../step.ts';

const betterRungs = (codec: BetterCodec, source: Source, heights: readonly number[]) =>
  rungsAs(codec, rungsOf(source, heights));

/** The sound is that of H.264: players combine every picture with every sound. */
const betterStep = (codec: BetterCodec, priority: number): Step => ({
  name: codec,
  priority,
  required: false,
  extra: true,
  background: true,
  needs: (source, { ladder }) =>
    encoding(source, betterRungs(codec, source, ladder), 0, ENCODERS[codec].memory),
  done: ({ outputs }) => outputs.has(codec),
  due: (state) =>
    state.encoding.codecs.includes(codec) &&
    isStored(state) &&
    !!state.source &&
    betterRungs(codec, state.source, state.encoding.ladder).length > 0,
  async run(ctx) {
    await refuseMissing(ctx.ffmpeg, codec);
    const rungs = betterRungs(codec, ctx.source(), ctx.encoding.ladder);
    return (await encodeStream(ctx, codec, { rungs, audio: false, codec })).commit;
  },
});

export const hevcStep = betterStep('hevc', 2);
/** After HEVC, which more of the players that can't do without it have. */
export const av1Step = betterStep('av1', 1);

/** A worker that was started with other settings may have another FFmpeg, too. */
async function refuseMissing(ffmpeg: Pick<Ffmpeg, 'encoders'>, codec: BetterCodec): Promise<void> {
  const { name } = ENCODERS[codec];
  if ((await ffmpeg.encoders()).has(name)) return;
  throw refuse('encoder_missing', `The FFmpeg of this worker has no ${name}.`);
}
