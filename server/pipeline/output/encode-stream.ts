/** Encodes rungs and sounds into an output that grows. What `first` and `ladder` share. */
import type { HlsDetails } from '../../hls/model.ts';
import { TIME_OFFSET } from '../../hls/time.ts';
import { hlsOutputs } from '../../media/growing.ts';
import type { HlsKind } from '../../media/output.ts';
import type { Source } from '../../media/source.ts';
import { planEncode, type StreamPlan, type Wanted } from '../encode/encode.ts';
import { encodeFailure, refuse } from '../failures.ts';
import { describeRungs, frameRate } from '../encode/ladder.ts';
import { percentOf } from '../ffmpeg/progress.ts';
import type { StepContext } from '../step.ts';
import { stream, type Streamed } from './stream.ts';

/** A machine that needs more than 40 times the duration would never catch up. */
const wallMs = (source: Source): number => (30 * 60 + 40 * source.duration) * 1000;

export async function encodeStream(
  ctx: StepContext,
  kind: HlsKind,
  wanted: Pick<Wanted, 'rungs' | 'audio' | 'codec'>,
): Promise<Streamed> {
  const source = ctx.source();
  const rate = source.video ? frameRate(source.video) : { value: 0, text: '0' };
  const plan = planEncode(source, { ...wanted, rate }, ctx.encoding);
  const background = wanted.codec !== undefined;
  const stage = `Encoding ${describeRungs(wanted.rungs, plan.audio.length)}`;
  ctx.progress({ percent: 0, stage });
  return stream(ctx, {
    ...{ kind, plan, duration: source.duration },
    // Beside something complete nobody would see it grow.
    grows: !(await hlsOutputs(ctx.db, ctx.media.id)).some(({ details }) => details.state === 'complete'),
    run: (signal) => runPlan(ctx, plan, stage, signal, { background }),
    verify(details) {
      verify(ctx, source, plan, details);
      return Promise.resolve(details);
    },
  });
}

interface RunOptions {
  /** That are encoded; those of the source, unless it is said. */
  seconds?: number | undefined;
  /** Gives way to all other runs. */
  background?: boolean;
}

/** Times longer than others may what gives way to them take. */
const PATIENCE = 10;

/** Runs FFmpeg for a plan; its failures become job failures. */
export async function runPlan(
  ctx: StepContext,
  plan: StreamPlan,
  stage: string,
  signal: AbortSignal,
  { seconds = ctx.source().duration, background = false }: RunOptions = {},
): Promise<void> {
  const source = ctx.source();
  const patience = background ? PATIENCE : 1;
  const percent = percentOf(seconds);
  try {
    await ctx.ffmpeg.encode({
      source: await ctx.sourcePath(),
      ...{ ...plan, scratch: ctx.scratch, signal, background },
      wallMs: patience * wallMs(source),
      patience,
      most: mostOf(source, plan),
      onProgress: ({ seconds: done, speed }) => {
        if (done !== undefined) ctx.progress({ percent: percent(done), stage, ...(speed ? { speed } : {}) });
      },
    });
  } catch (error) {
    throw encodeFailure(error);
  }
}

/**
 * Far more than can come of an honest file. Pictures count as progress, so a file that makes them without end, or a
 * thousand for the same moment, would not stall.
 */
function mostOf({ duration, video }: Source, plan: StreamPlan): { frames: number; seconds: number } {
  const rate = Math.max(video?.busyFrameRate ?? 0, ...plan.video.map(({ frameRate: planned }) => planned));
  const seconds = 3 * duration + 60;
  return { frames: Math.ceil(seconds * rate), seconds: seconds + TIME_OFFSET };
}

/** A rung without a segment means that nothing could be decoded; a sound without one is left out beside a picture. */
function verify(ctx: StepContext, source: Source, plan: StreamPlan, details: HlsDetails): void {
  ctx.progress({ percent: 99.9, stage: 'Storing' });
  const { variants, audio, duration } = details;
  if (audio.length < plan.audio.length)
    ctx.logger.warn('an audio track could not be decoded and was left out');
  if (variants.length < plan.video.length || (!variants.length && !audio.length))
    throw refuse('not_decodable', 'Its picture or sound can not be decoded: the file is damaged.');
  refuseShort(source, duration);
}

/** Throws when less came out than was found by the probe: the file promises more than it has. */
export function refuseShort(source: Source, duration: number): void {
  const missing = source.duration - duration;
  if (missing > 1 && missing > source.duration * 0.1)
    throw refuse(
      'truncated',
      `Only ${duration.toFixed(1)} of its ${source.duration.toFixed(1)} seconds can be decoded: the file is damaged or ends too early.`,
    );
}
