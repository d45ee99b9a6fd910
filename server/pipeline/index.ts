/** The pipeline: from an uploaded file to something that plays. The only file of it that others import. */
import type { Context } from '../context.ts';
import type { Task } from '../jobs/job.ts';
import { STEPS } from './advance.ts';
import type { Arriving } from './early/arrival.ts';
import { earlyTask as followUploads } from './early/early.ts';
import { ENCODERS } from './encode/encoders.ts';
import { createFfmpeg, type Ffmpeg } from './ffmpeg/ffmpeg.ts';
import { homeOf } from './ffmpeg/sandbox.ts';
import { keptSources, taskOf } from './runner.ts';
import type { Step } from './step.ts';

export {
  DROP_SOURCE,
  advance,
  isBackground,
  isMissingExtra,
  mediaFailed,
  needsUpload,
  togetherWith,
} from './advance.ts';
export { EARLY, addEarly, findEarly } from './early/job.ts';
export { sweepEarly } from './early/sweep.ts';
export { cleanScratch } from './scratch.ts';

/** One per context: it finds out once how FFmpeg can be confined here. */
const opened = new WeakMap<Context, Ffmpeg>();

function ffmpegOf(ctx: Context): Ffmpeg {
  const ffmpeg = opened.get(ctx) ?? createFfmpeg(ctx.config.encoding);
  opened.set(ctx, ffmpeg);
  return ffmpeg;
}

/** Task name -> function: `probe`, `copy`, `first`, `ladder`, `poster`. */
export const pipelineTasks = (ctx: Context): Record<string, Task> => tasksOf(ctx, (step) => !step.background);

/** The same of what is made when a media is ready, for a worker of its own: `hevc`, `av1` and their parts. */
export const backgroundTasks = (ctx: Context): Record<string, Task> =>
  tasksOf(ctx, (step) => step.background === true);

function tasksOf(ctx: Context, wanted: (step: Step) => boolean): Record<string, Task> {
  const ffmpeg = ffmpegOf(ctx);
  return Object.fromEntries(STEPS.filter(wanted).map((step) => [step.name, taskOf(step, ctx, ffmpeg)]));
}

/** For the start. Throws when FFmpeg can't encode what CODECS asks for, and says what to do. */
export async function refuseMissingEncoders(ctx: Context): Promise<void> {
  const { codecs, ffmpegPath } = ctx.config.encoding;
  const better = codecs.filter((codec) => codec !== 'h264');
  if (!better.length) return;
  const there = await ffmpegOf(ctx).encoders();
  const missing = better.filter((codec) => !there.has(ENCODERS[codec].name));
  if (!missing.length) return;
  const names = missing.map((codec) => ENCODERS[codec].name).join(' and ');
  throw new Error(
    `CODECS asks for ${missing.join(' and ')}, but ${ffmpegPath} has no encoder ${names}. ` +
      `Install an FFmpeg that was built with ${names}, or take ${missing.join(' and ')} out of CODECS.`,
  );
}

/** For the stop, when no job runs any more: removes what was kept for the next one. */
export const closePipeline = (ctx: Context): Promise<void> => keptSources(ctx).close();

/** The task that works on uploads while they arrive. */
export const earlyTask = (ctx: Context, arriving: Arriving): Task =>
  followUploads(ctx, ffmpegOf(ctx), arriving);

/** For the start: those of ffmpeg and ffprobe, as they are configured, that are not there. Starts nothing. */
export async function missingTools({ config }: Context): Promise<string[]> {
  const tools = [config.encoding.ffmpegPath, config.encoding.ffprobePath];
  const homes = await Promise.all(tools.map(homeOf));
  return tools.filter((_, n) => homes[n] === undefined);
}

/** For /readyz: FFmpeg's path, version and walls in one line. Throws with the reason when it doesn't run. */
export async function checkFfmpeg(ctx: Context): Promise<string> {
  const ffmpeg = ffmpegOf(ctx);
  const sandbox = await ffmpeg.sandbox();
  const walls = sandbox === 'none' ? 'no sandbox: bubblewrap does not work here' : `sandbox: ${sandbox}`;
  return `${ctx.config.encoding.ffmpegPath} ${await ffmpeg.version()}, ${walls}`;
}
