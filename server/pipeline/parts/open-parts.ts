/** Opens an output for the parts of a long stream: its first seconds are encoded here, the rest by other jobs. */
import type { SourceVideo } from '../../media/source.ts';
import type { HlsDetails } from '../../hls/model.ts';
import type { Commit } from '../../jobs/job.ts';
import { newOutputId, publishOutput, type HlsKind } from '../../media/output.ts';
import { outputPrefix } from '../../storage/storage.ts';
import { AAC_LC, planEncode, type Wanted } from '../encode/encode.ts';
import { borders } from './chunks.ts';
import { encodeHead } from './encode-chunk.ts';
import { ToolError } from '../ffmpeg/spawn.ts';
import { keyFramesBefore } from '../source/key-frames.ts';
import { frameRate } from '../encode/ladder.ts';
import { addParts, addToOpened, isCut, nameOf, partsOf, seekOf } from './parts.ts';
import type { PartPayload } from './parts.ts';
import type { StepContext } from '../step.ts';
import { growingPicture, growingSound } from '../output/stream.ts';

export interface PartsJob extends Pick<Wanted, 'rungs' | 'audio' | 'codec'> {
  kind: HlsKind;
  /** Viewers wait for it. */
  watched?: boolean;
  /** Of the jobs of all parts. */
  priority: number;
}

/**
 * Encodes the head and resolves with the commit that opens the output. Undefined when the source should be encoded in
 * one piece: it is short, can't be cut without a seam, or was tried in parts that did not fit.
 */
export async function inParts(ctx: StepContext, job: PartsJob): Promise<Commit | undefined> {
  const { media } = ctx;
  const { kind, rungs, audio, codec } = job;
  const source = ctx.source();
  if (ctx.payload['whole'] || !source.video || !isCut(source, ctx.encoding, job)) return undefined;
  const { video } = source;
  // Longer parts would come later to viewers than what they save.
  const findKeyFrames = async () => (job.watched ? undefined : keyFramesOf(ctx, video));
  const [first, ...rest] = await partsOf(video, ctx.encoding, findKeyFrames);
  if (!first) return undefined;
  const id = newOutputId();
  const prefix = outputPrefix(media.id, id);
  const head = await encodeHead(ctx, { rungs, codec, stretch: first, prefix });
  if (!head) return undefined;
  const plan = planEncode(source, { rungs, audio, rate: frameRate(video) }, ctx.encoding);
  // The sounds come first: without them nothing plays.
  const parts: PartPayload[] = [
    ...(plan.audio.length ? [{ kind }] : []),
    ...rest.map((stretch) => ({ kind, stretch })),
  ];
  const details: HlsDetails = {
    state: 'opening',
    duration: source.duration,
    variants: plan.video.map((planned) => growingPicture(planned, head.codecs.get(planned.name) ?? '')),
    audio: plan.audio.map((planned) => growingSound(planned, AAC_LC)),
    parts: parts.map(nameOf),
  };
  const { id: mediaId, attempt: mediaAttempt, owner } = media;
  return async (trx) => {
    await publishOutput(trx, { id, mediaId, mediaAttempt, owner, kind, prefix, bytes: 0, details });
    await addParts(trx, media, job.priority, parts);
    await addToOpened(trx, media, kind, head.segments);
  };
}

/** Key frames of a picture before each time at which a part may begin; undefined when they can't be found. */
async function keyFramesOf(
  { ffmpeg, logger, signal, sourcePath }: StepContext,
  video: SourceVideo,
): Promise<number[] | undefined> {
  const times = borders(video.end).map((start) => seekOf(video, start));
  try {
    return await keyFramesBefore(ffmpeg, times, { source: await sourcePath(), stream: video.index, signal });
  } catch (err) {
    if (!(err instanceof ToolError) || signal.aborted) throw err;
    logger.warn({ err }, 'its key frames were not found: parts begin anywhere');
    return undefined;
  }
}
