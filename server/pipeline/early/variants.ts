/** What is made of an upload while it arrives: its own picture as it is, or else the lowest rung. */
import { TIME_OFFSET } from '../../hls/time.ts';
import type { HlsDetails, StoredSegment } from '../../hls/model.ts';
import type { HlsKind } from '../../media/output.ts';
import type { Source } from '../../media/source.ts';
import { refuseUnfit, segmentCheck, Unfit } from '../encode/copying.ts';
import { planCopy, planEncode, type StreamPlan } from '../encode/encode.ts';
import { copyable, isKept, keepsSound, mayKeep } from '../encode/fitness.ts';
import { encoding } from '../footprint.ts';
import type { Head } from '../source/head.ts';
import { describeRungs, frameRate, rungsOf } from '../encode/ladder.ts';
import type { Segment } from '../output/pieces.ts';
import type { StepContext } from '../step.ts';

export interface EarlyVariant {
  kind: HlsKind;
  plan: StreamPlan;
  stage: string;
  /** Bytes of memory of FFmpeg. */
  memory: number;
  /** FFmpeg is stopped when it has written more. */
  most?: { frames: number; seconds: number };
  /** Refuses a segment of the picture by throwing. */
  check?: (segment: Segment) => Promise<void>;
  /** Throws `Unfit` unless the ordinary way would do the very same with the whole as it was probed. */
  compare(probed: Source): void;
  /** Throws `Unfit` unless what was made is as long as the whole; what there is to be said of it. */
  verify(probed: Source, details: HlsDetails, segments: readonly StoredSegment[]): HlsDetails;
}

/** The ways to go, the quickest first. Throws `Unfit` when there are none. */
export function earlyVariants(ctx: StepContext, head: Head): [EarlyVariant, ...EarlyVariant[]] {
  const { source } = head;
  if (!source.video) throw new Unfit('it is a sound');
  const encoded = isEncodable(source, ctx) ? [encodedVariant(ctx, head)] : [];
  const [first, ...rest] = copyable(source) ? [copiedVariant(ctx, source), ...encoded] : encoded;
  if (!first)
    throw new Unfit('its pictures come unevenly, or its lowest rung is not wanted before the others');
  return [first, ...rest];
}

/** At which rate uneven pictures are encoded only the whole says; a rung alone is for viewers who wait. */
const isEncodable = (source: Source, { encoding: { ladder, playSoon } }: StepContext): boolean =>
  !source.video?.variableFrameRate && (playSoon || rungsOf(source, ladder).length === 1);

function copiedVariant(ctx: StepContext, promised: Source): EarlyVariant {
  const planOf = (source: Source): StreamPlan => {
    if (!source.video || !copyable(source)) throw other();
    return planCopy(source, source.video, keepsSound(source), mayKeep(source, ctx.encoding));
  };
  const plan = planOf(promised);
  return {
    ...{ kind: 'copy', plan, stage: 'Taking over the picture as it arrives', memory: 0 },
    check: segmentCheck(ctx, plan),
    compare: (probed) => refuseOther(plan, planOf(probed)),
    verify(probed, details, segments) {
      refuseUnfit(probed, plan, details);
      return { ...details, kept: isKept(probed, ctx.encoding, details, segments) };
    },
  };
}

/** Seconds that a stream may end before the others: players start and end them together. */
const RAGGED = 0.5;

/** The lowest rung with every sound: as `first`, or as the whole ladder where it has no other. */
function encodedVariant(
  { encoding: settings }: StepContext,
  { source: promised, isWhole }: Head,
): EarlyVariant {
  const planOf = (source: Source): StreamPlan => {
    if (!source.video) throw other();
    const rungs = rungsOf(source, settings.ladder).slice(-1);
    return planEncode(source, { rungs, rate: frameRate(source.video), audio: true }, settings);
  };
  const rungs = rungsOf(promised, settings.ladder);
  const lowest = rungs.slice(-1);
  // Only an index says when streams end; else what is missing at the end of one is not made up for.
  const planned = isWhole ? promised : endless(promised);
  const plan = planOf(planned);
  const longest = settings.maxDurationMs / 1000 + 60;
  return {
    ...{ kind: rungs.length > 1 ? 'first' : 'ladder', plan },
    stage: `Encoding ${describeRungs(lowest, plan.audio.length)} as it arrives`,
    memory: encoding(promised, lowest, plan.audio.length, { threads: settings.mostThreads }).memory,
    most: { frames: Math.ceil(longest * (plan.video[0]?.frameRate ?? 0)), seconds: longest + TIME_OFFSET },
    compare(probed) {
      refuseOther(planOf(endless(promised)), planOf(endless(probed)));
      const lowestOnly = rungsOf(probed, settings.ladder).length > 1 === rungs.length > 1;
      if (!lowestOnly || lackOf(planned, probed) > RAGGED) throw other();
    },
    verify({ duration }, details) {
      if (details.variants.length < plan.video.length || details.audio.length < plan.audio.length)
        throw new Unfit('a stream is missing');
      if (Math.abs(details.duration - duration) > RAGGED)
        throw new Unfit(`${details.duration.toFixed(2)} of ${duration.toFixed(2)} s were encoded`);
      return details;
    },
  };
}

/** The same source, of which nobody knows when its streams end. */
const endless = (source: Source): Source => ({
  ...source,
  duration: 0,
  video: source.video && { ...source.video, end: 0 },
  audio: source.audio.map((audio) => ({ ...audio, end: 0 })),
});

/** Seconds that are missing at most at the end of a stream, after what was planned to be made up for. */
function lackOf(planned: Source, probed: Source): number {
  const ends = ({ video, audio }: Source): number[] => [
    ...(video ? [video.end] : []),
    ...audio.map((a) => a.end),
  ];
  const madeUp = ends(planned).map((end) => planned.duration - end);
  return Math.max(...ends(probed).map((end, n) => probed.duration - end - (madeUp[n] ?? 0)));
}

const refuseOther = (plan: StreamPlan, whole: StreamPlan): void => {
  if (essence(plan) !== essence(whole)) throw other();
};

const other = (): Unfit => new Unfit('the whole is not what its beginning promised');

/** To the last option of the command, but for what depends on the rates, which may only be known at the end. */
const essence = ({ outputs, inputOptions, globalOptions, video, audio }: StreamPlan): string =>
  JSON.stringify([
    ...[inputOptions, globalOptions],
    JSON.stringify(outputs).replace(/video_track_timescale=\d+|(?<=-hls_time",")\d+/g, ''),
    video.map(({ name, width, height }) => [name, width, height]),
    audio.map(({ name, source: { index, language, title } }) => [name, index, language, title]),
  ]);
