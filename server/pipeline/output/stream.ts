/**
 * Makes one output of renditions and lets viewers watch while it grows.
 *
 * A segment is stored first, then its row commits together with the proof that the job is still ours: so what
 * playlists tell of is there, and an attempt that lost its lease tells nothing more. The next attempt goes on with
 * the same output: it encodes again what was there, which encoders do alike, and stores what is missing.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { iframeRatesOf, ratesOf, SEGMENT_SECONDS } from '../../hls/media-playlist.ts';
import type { AudioRendition, HlsDetails, StoredSegment, VideoRendition } from '../../hls/model.ts';
import type { Commit } from '../../jobs/job.ts';
import { addSegments, hlsOutputs, segmentsOf, type NewSegment } from '../../media/growing.ts';
import { newOutputId, publishOutput, type HlsKind } from '../../media/output.ts';
import { outputPrefix } from '../../storage/storage.ts';
import { Unfit } from '../encode/copying.ts';
import type { PlannedAudio, PlannedVideo, StreamPlan } from '../encode/encode.ts';
import { follow } from '../ffmpeg/follow.ts';
import { atOnce } from './at-once.ts';
import type { Segment } from './pieces.ts';
import { withdrawFiles } from './publish.ts';
import { Differs, RenditionWriter, storeAll, ZERO } from './rendition-writer.ts';
import type { StepContext } from '../step.ts';

export interface StreamJob {
  kind: HlsKind;
  plan: StreamPlan;
  /** Viewers see it from its first segments on; may be decided while it runs. */
  grows: boolean;
  /** Seconds of the source. */
  duration: number;
  /** Runs FFmpeg, which `signal` ends. */
  run: (signal: AbortSignal) => Promise<void>;
  /** Refuses a segment of a picture, before it is stored, by throwing. */
  check?: ((segment: Segment) => Promise<void>) | undefined;
  /** Refuses the whole, before it is complete, by throwing; resolves with what is told of it. `segments` are the picture's. */
  verify: (details: HlsDetails, segments: readonly StoredSegment[]) => Promise<HlsDetails>;
}

interface Place {
  id: string;
  prefix: string;
  /** Its row is there. */
  visible: boolean;
}

/** A finished output: what was measured, and the commit that makes it complete. */
export interface Streamed {
  details: HlsDetails;
  commit: Commit;
}

/** Renditions of which nothing could be made are missing in the details. */
export async function stream(ctx: StepContext, job: StreamJob): Promise<Streamed> {
  const { video, audio, root } = job.plan;
  const from = { ...ZERO, end: job.duration || undefined };
  const writers = {
    video: video.map((planned) => ({
      planned,
      writer: new RenditionWriter(ctx, root, planned.name, true, { ...from, free: job.plan.free ?? false }),
    })),
    audio: audio.map((planned) => ({
      planned,
      writer: new RenditionWriter(ctx, root, planned.name, false, from),
    })),
  };
  const all = [...writers.video, ...writers.audio].map(({ writer }) => writer);
  for (const { name } of all) await mkdir(join(ctx.scratch, root, name), { recursive: true });
  let place: Place | undefined;

  const round = async (last: boolean): Promise<void> => {
    const begun = all.filter((writer) => writer.begun);
    if (begun.length < all.length && !last) return;
    place ??= await openPlace(ctx, job, begun);
    const fresh = await storeAll(begun, last, (writer) => (isVideo(writer) ? job.check : undefined));
    if (last || !job.grows || !fresh.length) return;
    if (place.visible || all.every(({ segments }) => segments.length)) await grow(place, fresh);
  };
  const isVideo = (writer: RenditionWriter): boolean => writers.video.some((v) => v.writer === writer);
  const grow = async (where: Place, fresh: NewSegment[]): Promise<void> => {
    const details = growingDetails(job, writers);
    const stored = where.visible ? fresh : numbered(all);
    await ctx.commit(async (trx) => {
      if (!where.visible) await publishOutput(trx, rowOf(ctx, job.kind, where, all, details));
      await addSegments(trx, where.id, stored);
    });
    where.visible = true;
  };

  try {
    await follow(ctx.signal, job.run, round);
    const made = all.filter(({ segments }) => segments.length);
    await atOnce(made, (writer) => writer.finish());
    const where = place ?? newPlace(ctx);
    const details = await job.verify(completeDetails(writers), writers.video[0]?.writer.segments ?? []);
    return { details, commit: (trx) => publishOutput(trx, rowOf(ctx, job.kind, where, all, details)) };
  } catch (error) {
    await withdraw(ctx, place, error);
    throw error;
  }
}

/**
 * A check of segments for pictures that were not cut by us. A playlist that is being watched can't announce a longer target
 * duration: one whose first segment is longer is shown when it is whole, and one that gets longer while it is watched is refused.
 */
export function withinTarget(job: StreamJob, check: StreamJob['check']): StreamJob['check'] {
  let first = true;
  return async (segment) => {
    await check?.(segment);
    const seconds = segment.reduce((sum, { duration }) => sum + duration, 0);
    const long = Math.round(seconds) > SEGMENT_SECONDS;
    if (long && first) job.grows = false;
    if (long && job.grows) throw new Unfit('a segment is longer than the playlist has announced');
    first = false;
  };
}

type Writers = {
  video: { planned: PlannedVideo; writer: RenditionWriter }[];
  audio: { planned: PlannedAudio; writer: RenditionWriter }[];
};

/** The output that an earlier attempt left growing, if this attempt makes the same; else a new one. */
async function openPlace(ctx: StepContext, job: StreamJob, writers: RenditionWriter[]): Promise<Place> {
  const growing = (await hlsOutputs(ctx.db, ctx.media.id)).find(
    ({ kind, details }) => kind === job.kind && details.state === 'growing',
  );
  const alike = growing && (await Promise.all(writers.map((writer) => writer.continues(growing.prefix))));
  if (!alike || alike.includes(false)) {
    const place = newPlace(ctx);
    for (const writer of writers) await writer.open(place.prefix, []);
    return place;
  }
  for (const writer of writers)
    await writer.open(growing.prefix, await segmentsOf(ctx.db, growing.id, writer.name));
  return { id: growing.id, prefix: growing.prefix, visible: true };
}

function newPlace({ media }: StepContext): Place {
  const id = newOutputId();
  return { id, prefix: outputPrefix(media.id, id), visible: false };
}

/** What nobody has seen goes at once; what is being watched stays for the next attempt, unless it can't go on. */
async function withdraw(ctx: StepContext, place: Place | undefined, error: unknown): Promise<void> {
  if (!place) return;
  if (place.visible && !(error instanceof Differs || error instanceof Unfit)) return;
  if (place.visible)
    await ctx.commit(async (trx) => {
      await trx.deleteFrom('output').where('id', '=', place.id).execute();
    });
  await withdrawFiles(ctx, place.prefix);
}

function rowOf(
  { media }: StepContext,
  kind: HlsKind,
  { id, prefix }: Place,
  writers: readonly RenditionWriter[],
  details: HlsDetails,
) {
  const bytes = writers.reduce((sum, writer) => sum + writer.bytes, 0);
  const { id: mediaId, attempt: mediaAttempt, owner } = media;
  return { id, mediaId, mediaAttempt, owner, kind, prefix, bytes, details };
}

const numbered = (writers: readonly RenditionWriter[]): NewSegment[] =>
  writers.flatMap(({ name, segments }) =>
    segments.map((segment, sequence) => ({ ...segment, rendition: name, sequence })),
  );

/** Until it can be measured, what encoders may use at most. */
const estimated = (maxRate: number) => ({ bandwidth: maxRate, averageBandwidth: maxRate });

/** A picture that nothing is measured of yet. */
export const growingPicture = (planned: PlannedVideo, codecs: string): VideoRendition => ({
  ...pictureOf(planned, { codecs }),
  ...estimated(planned.maxRate),
});

/** A sound that nothing is measured of yet. */
export const growingSound = (planned: PlannedAudio, codecs: string): AudioRendition => ({
  ...soundOf(planned, { codecs }),
  ...estimated(planned.maxRate),
});

const growingDetails = ({ duration }: StreamJob, { video, audio }: Writers): HlsDetails => ({
  state: 'growing',
  duration,
  variants: video.map(({ planned, writer }) => growingPicture(planned, writer.codecs)),
  audio: audio.map(({ planned, writer }) => growingSound(planned, writer.codecs)),
});

function completeDetails({ video, audio }: Writers): HlsDetails {
  const pictures = video.filter(({ writer }) => writer.segments.length);
  const sounds = audio.filter(({ writer }) => writer.segments.length);
  return {
    state: 'complete',
    duration: pictures[0]?.writer.duration ?? Math.max(0, ...sounds.map(({ writer }) => writer.duration)),
    variants: pictures.map(({ planned, writer }) => ({
      ...pictureOf(planned, writer),
      ...ratesOf(writer.segments),
      iframes: iframeRatesOf(writer.segments),
    })),
    audio: sounds.map(({ planned, writer }) => ({
      ...soundOf(planned, writer),
      ...ratesOf(writer.segments),
    })),
  };
}

const pictureOf = ({ name, width, height, frameRate }: PlannedVideo, { codecs }: { codecs: string }) => ({
  ...{ name, codecs, width, height, frameRate },
});

const soundOf = ({ name, source }: PlannedAudio, { codecs }: { codecs: string }) => ({
  ...{ name, codecs, channels: 2 },
  ...(source.language ? { language: source.language } : {}),
  ...(source.title ? { title: source.title } : {}),
});
