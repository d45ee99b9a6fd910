/**
 * The first variant while the upload arrives: FFmpeg reads the bytes that the ledger has promised, by a pipe, and cuts
 * out the source's own picture as the `copy` step would have done afterwards. Whatever doesn't fit, however late it is
 * seen, leaves nothing, and the media goes the ordinary way.
 */
import type { MediaRow } from '../../db/schema.ts';
import type { Context } from '../context.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { PrefixEnded } from '../errors.ts';
import { SEGMENT_SECONDS } from '../hls/media-playlist.ts';
import type { HlsDetails, StoredSegment } from '../hls/model.ts';
import type { Commit, Task } from '../jobs/job.ts';
import type { Source } from '../media/source.ts';
import { refuseUnfit, segmentCheck, Unfit } from './copying.ts';
import { dropEarly } from './early-job.ts';
import { planCopy, type StreamPlan } from './encode.ts';
import { encodeFailure, saidNo, stepFailure } from './failures.ts';
import type { Ffmpeg } from './ffmpeg.ts';
import { copyable, isKept, keepsSound, mayKeep } from './fitness.ts';
import { describeHead, headSize } from './head.ts';
import { commitStep, isIn, stepContext } from './runner.ts';
import { withScratch } from './scratch.ts';
import type { StepContext } from './step.ts';
import { stream } from './stream.ts';

/** The bytes of a media's upload as they come; throws `PrefixEnded` when there will be no more of them. */
export type OpenPrefix = (uploadId: string, signal: AbortSignal) => AsyncGenerator<Buffer, void, undefined>;

const STAGE = 'Taking over the picture as it arrives';
/** No upload lives longer; the largest time that a timer takes is 24 days. */
const WALL_MS = 20 * 86_400_000;
const POLL_MS = 100;
const WANTED = ['uploading', 'processing', 'playable'];

/** The `early` task. */
export function earlyTask(ctx: Context, ffmpeg: Ffmpeg, open: OpenPrefix): Task {
  return async (jobContext) => {
    const { job } = jobContext;
    const media = await mediaOf(ctx, job.mediaId ?? '');
    if (!media || !isIn(media, job.mediaAttempt, WANTED)) return undefined;
    const without: Commit = commitStep(ctx, media, (trx) => dropEarly(trx, media.id), WANTED);
    // An earlier attempt was killed, and the upload is over: the copy step has all there is.
    if (media.status !== 'uploading') return without;
    try {
      return await withScratch(ctx.config.encoding.scratchDir, job, async (scratch) => {
        const step = stepContext(ctx, ffmpeg, jobContext, media, scratch, WANTED);
        const commit = await follow(step, open, job.payload['watch'] === true);
        return commitStep(ctx, media, commit, WANTED);
      });
    } catch (error) {
      jobContext.signal.throwIfAborted();
      if (!(error instanceof Unfit) && !saidNo(error)) throw stepFailure(error, job.attempts);
      jobContext.logger.info({ err: error }, 'the upload is not worked on while it arrives');
      return without;
    }
  };
}

const mediaOf = ({ db }: Pick<Context, 'db'>, id: string): Promise<MediaRow | undefined> =>
  db.selectFrom('media').selectAll().where('id', '=', id).executeTakeFirst();

/** Resolves when the upload is complete and so is the output. Throws `Unfit`. */
async function follow(ctx: StepContext, open: OpenPrefix, watch: boolean): Promise<Commit> {
  const end = new AbortController();
  const chunks = open(ctx.media.id, AbortSignal.any([ctx.signal, end.signal]));
  try {
    ctx.progress({ percent: 0, stage: STAGE });
    const head = await readHead(chunks);
    const source = await describeHead(ctx, head, await lengthOf(ctx)).catch((error: unknown) => {
      throw new Unfit('its beginning does not say what it is', { cause: error });
    });
    if (!source.video || !copyable(source)) throw new Unfit('it has to be encoded');
    const plan = planCopy(source, source.video, keepsSound(source), mayKeep(source, ctx.encoding));
    return await cut(ctx, source, plan, rest(head, chunks), watch);
  } finally {
    end.abort();
    await chunks.return().catch(() => undefined); // closes what it reads
  }
}

async function lengthOf({ db, media }: StepContext): Promise<number | undefined> {
  const row = await db.selectFrom('upload').select('length').where('id', '=', media.id).executeTakeFirst();
  return row?.length ?? undefined;
}

async function cut(
  ctx: StepContext,
  source: Source,
  plan: StreamPlan,
  stdin: AsyncGenerator<Buffer, void, undefined>,
  watch: boolean,
): Promise<Commit> {
  const check = segmentCheck(ctx, plan);
  let first = true;
  const job = {
    ...{ kind: 'copy' as const, plan, duration: source.duration, grows: watch },
    run: (signal: AbortSignal) => run(ctx, plan, stdin, signal),
    check: async (segment: Parameters<typeof check>[0]): Promise<void> => {
      await check(segment);
      const seconds = segment.reduce((sum, { duration }) => sum + duration, 0);
      // A playlist that is being watched can't announce a longer target: such a picture is shown when it is whole.
      const long = Math.round(seconds) > SEGMENT_SECONDS;
      if (long && first) job.grows = false;
      if (long && job.grows) throw new Unfit('a segment is longer than the playlist has announced');
      first = false;
    },
    verify: async (details: HlsDetails, segments: readonly StoredSegment[]): Promise<HlsDetails> => {
      const probed = await probedSource(ctx);
      refuseOther(probed, plan);
      refuseUnfit(probed, plan, details);
      return { ...details, kept: isKept(probed, ctx.encoding, details, segments) };
    },
  };
  const { commit } = await stream(ctx, job);
  return commit;
}

async function run(
  { ffmpeg, scratch, encoding }: StepContext,
  { inputOptions, globalOptions, outputs }: StreamPlan,
  stdin: AsyncGenerator<Buffer, void, undefined>,
  signal: AbortSignal,
): Promise<void> {
  const limits = { wallMs: WALL_MS, stallMs: encoding.stallMs, signal };
  try {
    await ffmpeg.encode({ stdin, inputOptions, globalOptions, outputs, scratch, ...limits });
  } catch (error) {
    throw encodeFailure(error);
  }
}

/** What the probe finds in the whole upload. */
async function probedSource(ctx: StepContext): Promise<Source> {
  for (;;) {
    const media = await mediaOf(ctx, ctx.media.id);
    if (media?.source) return JSON.parse(media.source) as Source;
    await sleep(POLL_MS, undefined, { signal: ctx.signal });
  }
}

/** The whole must be what its beginning promised: the `copy` step would have done the very same with it. */
function refuseOther(source: Source, plan: StreamPlan): void {
  const { video } = source;
  const same =
    video &&
    copyable(source) &&
    essence(planCopy(source, video, keepsSound(source), false)) === essence(plan);
  if (!same) throw new Unfit('the whole is not what its beginning promised');
}

/** Without what depends on the frame rate or bit rate, which may only be known at the end. */
const essence = ({ outputs, video, audio }: StreamPlan): string =>
  JSON.stringify([
    JSON.stringify(outputs).replace(/video_track_timescale=\d+|(?<=-hls_time",")\d+/g, ''),
    video.map(({ name, width, height }) => [name, width, height]),
    audio.map(({ name, source: { index, language, title } }) => [name, index, language, title]),
  ]);

/** The first bytes, as many as tell what follows. */
async function readHead(chunks: AsyncGenerator<Buffer, void, undefined>): Promise<Buffer> {
  const read: Buffer[] = [];
  let size = 0;
  for (let wanted = 1024; ;) {
    while (size < wanted) {
      const { value, done } = await nextOf(chunks);
      if (done) return Buffer.concat(read);
      read.push(value);
      size += value.length;
    }
    const head = Buffer.concat(read);
    const whole = headSize(head);
    if (whole === undefined) throw new Unfit('it can not be read from its front');
    if (whole <= size) return head;
    read.splice(0, read.length, head);
    wanted = whole;
  }
}

async function* rest(
  head: Buffer,
  chunks: AsyncGenerator<Buffer, void, undefined>,
): AsyncGenerator<Buffer, void, undefined> {
  yield head;
  for (let next; !(next = await nextOf(chunks)).done;) yield next.value;
}

/** However an upload ends before its time, nothing is wrong with this work. */
async function nextOf(
  chunks: AsyncGenerator<Buffer, void, undefined>,
): Promise<IteratorResult<Buffer, void>> {
  try {
    return await chunks.next();
  } catch (error) {
    if (error instanceof PrefixEnded) throw new Unfit('the upload does not go on', { cause: error });
    throw error; // we were told to stop, or storage is away: another attempt goes on
  }
}
