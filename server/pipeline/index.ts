/** The pipeline: from an uploaded file to something that plays. The only file of it that others import. */
import type { Context } from '../context.ts';
import type { Task } from '../jobs/job.ts';
import { STEPS } from './advance.ts';
import type { Arriving } from './early/arrival.ts';
import { earlyTask as followUploads } from './early/early.ts';
import { createFfmpeg, type Ffmpeg } from './ffmpeg/ffmpeg.ts';
import { keptSources, taskOf } from './runner.ts';

export { DROP_SOURCE, advance, isMissingExtra, mediaFailed, needsUpload } from './advance.ts';
export { EARLY, addEarly, findEarly } from './early/job.ts';
export { cleanScratch } from './scratch.ts';

/** One per context: it finds out once how FFmpeg can be confined here. */
const opened = new WeakMap<Context, Ffmpeg>();

function ffmpegOf(ctx: Context): Ffmpeg {
  const ffmpeg = opened.get(ctx) ?? createFfmpeg(ctx.config.encoding);
  opened.set(ctx, ffmpeg);
  return ffmpeg;
}

/** Task name -> function: `probe`, `copy`, `first`, `ladder`, `poster`. */
export function pipelineTasks(ctx: Context): Record<string, Task> {
  const ffmpeg = ffmpegOf(ctx);
  return Object.fromEntries(STEPS.map((step) => [step.name, taskOf(step, ctx, ffmpeg)]));
}

/** For the stop, when no job runs any more: removes what was kept for the next one. */
export const closePipeline = (ctx: Context): Promise<void> => keptSources(ctx).close();

/** The task that works on uploads while they arrive. */
export const earlyTask = (ctx: Context, arriving: Arriving): Task =>
  followUploads(ctx, ffmpegOf(ctx), arriving);

/** For /readyz: FFmpeg's path, version and walls in one line. Throws with the reason when it doesn't run. */
export async function checkFfmpeg(ctx: Context): Promise<string> {
  const ffmpeg = ffmpegOf(ctx);
  const sandbox = await ffmpeg.sandbox();
  const walls = sandbox === 'none' ? 'no sandbox: bubblewrap does not work here' : `sandbox: ${sandbox}`;
  return `${ctx.config.encoding.ffmpegPath} ${await ffmpeg.version()}, ${walls}`;
}
