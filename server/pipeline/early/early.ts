/**
 * The first variant while the upload arrives: FFmpeg reads the bytes that the ledger has promised, by a pipe, and makes
 * of them what the steps `copy` or `first` would have made afterwards. Whatever doesn't fit, however late it is seen,
 * leaves nothing, and the media goes the ordinary way.
 */
import { setMaxListeners } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { MediaRow } from '../../../db/schema.ts';
import type { Context } from '../../context.ts';
import { PrefixEnded } from '../../errors.ts';
import type { Commit, Task } from '../../jobs/job.ts';
import type { Source } from '../../media/source.ts';
import { needsOf, reserve } from '../admission.ts';
import { openArrival, readHead, type Arrival, type Arriving } from './arrival.ts';
import { reasonOf, Unfit } from '../encode/copying.ts';
import { dropEarly } from './job.ts';
import { probeAlong } from './probe.ts';
import { earlyVariants, type EarlyVariant } from './variants.ts';
import { encodeFailure, saidNo, stepFailure } from '../failures.ts';
import type { Ffmpeg } from '../ffmpeg/ffmpeg.ts';
import { describeHead, type Head } from '../source/head.ts';
import { percentOf } from '../ffmpeg/progress.ts';
import { commitStep, isIn, stepContext } from '../runner.ts';
import { withScratch } from '../scratch.ts';
import type { StepContext } from '../step.ts';
import { found } from '../steps/probe.ts';
import { stream, withinTarget, type StreamJob } from '../output/stream.ts';
import { isCut } from '../parts/parts.ts';

/** No upload lives longer; the largest time that a timer takes is 24 days. */
const WALL_MS = 20 * 86_400_000;
const WANTED = ['uploading', 'processing', 'playable'];
/** Of a long film: with less of it encoded when the last byte came, beginning anew on all workers is done sooner. */
const WORTH_KEEPING = 0.2;

/** The `early` task. */
export function earlyTask(ctx: Context, ffmpeg: Ffmpeg, arriving: Arriving): Task {
  return async (jobContext) => {
    const { job, signal, logger } = jobContext;
    const media = await mediaOf(ctx, job.mediaId ?? '');
    if (!media || !isIn(media, job.mediaAttempt, WANTED)) return undefined;
    const without: Commit = commitStep(ctx, media, (trx) => dropEarly(trx, media.id), WANTED);
    // An earlier attempt was killed, and the upload is over: the other steps have all there is.
    if (media.status !== 'uploading') return without;
    try {
      return await withScratch(ctx.config.encoding.scratchDir, job, async (scratch, name) => {
        const end = new AbortController();
        const step = stepContext(ctx, ffmpeg, jobContext, media, scratch, WANTED);
        const own = { ...step, signal: whichever(signal, end.signal) };
        const commit = await follow(own, arriving, name, job.payload['watch'] === true).finally(() =>
          end.abort(),
        );
        return commitStep(ctx, media, commit, WANTED);
      });
    } catch (error) {
      signal.throwIfAborted();
      if (!isUnfit(error) && !(error instanceof PrefixEnded)) throw stepFailure(error, job.attempts);
      logger.info(reasonOf(error), 'the upload is not worked on while it arrives');
      return without;
    }
  };
}

const isUnfit = (error: unknown): boolean => error instanceof Unfit || saidNo(error);

const mediaOf = ({ db }: Pick<Context, 'db'>, id: string): Promise<MediaRow | undefined> =>
  db.selectFrom('media').selectAll().where('id', '=', id).executeTakeFirst();

/** Resolves when the upload is complete and so is the output. Throws `Unfit`, `PrefixEnded` and `JobPostponed`. */
async function follow(ctx: StepContext, arriving: Arriving, name: string, watch: boolean): Promise<Commit> {
  ctx.progress({ percent: 0, stage: 'Waiting for its beginning' });
  const bytes = await readHead(arriving.read(ctx.media.id, ctx.signal));
  const length = await lengthOf(ctx);
  const head = await describeHead(ctx, bytes, length).catch((error: unknown) => {
    throw new Unfit('its beginning does not say what it is', { cause: error });
  });
  const variants = earlyVariants(ctx, head);
  const memory = Math.max(...variants.map((variant) => variant.memory));
  const size = { size: length ?? 0, source: head.source };
  const needs = needsOf(
    { needs: () => ({ bytes: 0, memory }) },
    size,
    ctx.encoding,
    ctx.storage.driver === 's3',
  );
  await reserve(ctx.encoding, name, needs);
  return tryEach(ctx, variants, (variant) => work(ctx, arriving, head, variant, watch));
}

/** While bytes are missing there is time for another way. */
async function tryEach(
  ctx: StepContext,
  [variant, ...others]: [EarlyVariant, ...EarlyVariant[]],
  attempt: (variant: EarlyVariant) => Promise<Commit>,
): Promise<Commit> {
  try {
    return await attempt(variant);
  } catch (error) {
    const [next, ...rest] = others;
    if (!next || !isUnfit(error) || (await mediaOf(ctx, ctx.media.id))?.status !== 'uploading') throw error;
    ctx.logger.info(reasonOf(error), 'the picture is not taken over as it is');
    await rm(join(ctx.scratch, variant.plan.root), { recursive: true });
    return tryEach(ctx, [next, ...rest], attempt);
  }
}

async function lengthOf({ db, media }: StepContext): Promise<number | undefined> {
  const row = await db.selectFrom('upload').select('length').where('id', '=', media.id).executeTakeFirst();
  return row?.length ?? undefined;
}

/** Aborted with the first of them; for as many requests as are on their way. */
function whichever(...signals: AbortSignal[]): AbortSignal {
  const any = AbortSignal.any(signals);
  setMaxListeners(Infinity, any);
  return any;
}

/** Makes the variant and probes the upload, both while it arrives. The first that fails ends the other. */
async function work(
  outer: StepContext,
  arriving: Arriving,
  head: Head,
  variant: EarlyVariant,
  watch: boolean,
): Promise<Commit> {
  const stop = new AbortController();
  const ctx = { ...outer, signal: whichever(outer.signal, stop.signal) };
  const arrival = openArrival(ctx, arriving, ctx.signal);
  const { stage, plan, kind } = variant;
  ctx.progress({ percent: 0, stage });
  let reached = 0;
  const onSeconds = (seconds: number): void => void (reached = seconds);
  const job: StreamJob = {
    ...{ kind, plan, duration: head.source.duration, grows: watch },
    run: async (signal) =>
      void (await together(stop, [encode(ctx, arrival, variant, signal, probed, onSeconds), compared])),
    verify: async (details, segments) => variant.verify(await probed, details, segments),
  };
  job.check = withinTarget(job, variant.check);
  const probed = probeAlong(ctx, arrival, head, WALL_MS);
  const compared = probed.then(async (source) => {
    variant.compare(source);
    await ctx.commit(found(ctx, source));
    if (kind === 'copy') return;
    const behind = reached < WORTH_KEEPING * source.duration;
    if (behind && !watch && isCut(source, ctx.encoding, { watched: true }))
      throw new Unfit('the upload was faster, and what is left many can encode at once');
    // From now on viewers may see what there is: it is whole, and only takes its time.
    job.grows = true;
  });
  compared.catch(() => undefined); // `run` throws it
  try {
    const { commit } = await stream(ctx, job);
    return commit;
  } finally {
    stop.abort();
    await arrival.closed();
  }
}

/** Waits for both, and throws what the first that failed threw. */
async function together(stop: AbortController, work: readonly Promise<unknown>[]): Promise<void> {
  let failed: { error: unknown } | undefined;
  const noted = work.map((each) =>
    each.catch((error: unknown) => {
      failed ??= { error };
      stop.abort();
    }),
  );
  await Promise.all(noted);
  if (failed) throw failed.error;
}

async function encode(
  { ffmpeg, scratch, progress }: StepContext,
  arrival: Arrival,
  { plan, stage, most }: EarlyVariant,
  signal: AbortSignal,
  probed: Promise<Source>,
  onSeconds: (seconds: number) => void,
): Promise<void> {
  const { inputOptions, globalOptions, outputs } = plan;
  let percent: ReturnType<typeof percentOf> | undefined;
  probed.then(
    ({ duration }) => (percent = percentOf(duration)),
    () => undefined,
  );
  try {
    await ffmpeg.encode({
      ...{ stdin: arrival.read(signal), inputOptions, globalOptions, outputs, scratch, signal, most },
      wallMs: WALL_MS,
      onProgress: ({ seconds, speed }) => {
        if (seconds !== undefined) onSeconds(seconds);
        const part = seconds === undefined ? undefined : percent?.(seconds);
        if (part !== undefined) progress({ percent: part, stage, ...(speed ? { speed } : {}) });
      },
    });
  } catch (error) {
    throw encodeFailure(error);
  }
}
