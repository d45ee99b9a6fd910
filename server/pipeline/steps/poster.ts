/** A still of the video, or the cover of a sound: JPEG and WebP in several widths, and a tiny placeholder. */
import { mkdir, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { isHls, type PosterDetails } from '../../media/output.ts';
import type { Source, SourceVideo } from '../../media/source.ts';
import { QUIET } from '../ffmpeg/ffmpeg.ts';
import { encodeFailure, refusal, refuse } from '../failures.ts';
import { decoding } from '../footprint.ts';
import { plainPicture } from '../encode/filters.ts';
import { publish } from '../output/publish.ts';
import type { Step, StepContext } from '../step.ts';
import { mayCopy } from './copy.ts';

export const posterStep: Step = {
  name: 'poster',
  priority: 20,
  // A media plays without a poster: a page shows its placeholder. So its failure is logged and kept in its job only.
  required: false,
  extra: true,
  needs: decoding,
  done: ({ outputs }) => outputs.has('poster'),
  // A picture that is only copied plays in seconds, and would share the processors with it.
  due: (state) => (state.source?.video !== undefined || state.source?.cover !== undefined) && !mayCopy(state),
  // The first segments of what is encoded come before it; a media that waits for its turn has it while it waits.
  delayMs: ({ outputs }) => ([...outputs].some((kind) => isHls({ kind })) ? 0 : FIRST_SEGMENTS_MS),
  async run(ctx) {
    ctx.progress({ percent: 0, stage: 'Taking a still' });
    const still = await takeStill(ctx, ctx.source());
    const folder = join(ctx.scratch, 'poster');
    await mkdir(folder);
    const details = await writePosters(still, folder, ctx.encoding.maxPixels);
    return publish(ctx, folder, 'poster', details);
  },
};

/** Two cores encode the first seconds of 1080p in that time. */
const FIRST_SEGMENTS_MS = 3_000;

/** The largest is `poster.jpg`, smaller ones carry their width in their name. Never wider than the picture itself. */
const WIDTHS = [320, 640, 1280];
const MAX_WIDTH = Math.max(...WIDTHS);
const PLACEHOLDER_WIDTH = 24;
/** Where to look, as parts of the duration: titles are over, and the end isn't given away. */
const PLACES = [0.1, 0.35, 0.6, 0];
/** Mean of a picture, 0 to 255, below which it counts as black. */
const DARK = 12;
/** Key frames are decoded alone, for a tenth of what all frames before and between them cost; there may be none near. */
const KEY_FRAMES_ONLY = ['-skip_frame', 'nokey', '-t', '10'];
const KEY_FRAMES = 10;
/** Of any kind, where there are no key frames. */
const FRAMES = 50;

async function takeStill(ctx: StepContext, source: Source): Promise<string> {
  const path = await ctx.sourcePath();
  const { video } = source;
  if (!video) return extract(ctx, path, 'cover.png', [], ['-map', `0:${source.cover}`]).then(orRefuse);
  let best: { file: string; light: number } | undefined;
  for (const [n, place] of PLACES.entries()) {
    const at = place * Math.min(source.duration, video.end ?? source.duration);
    const seek = at ? ['-ss', at.toFixed(3)] : []; // what has no clock can't be sought in
    // What can't be decoded here, or not by key frames alone (Theora), may be elsewhere.
    const take = (inputOptions: string[], among: number): Promise<string | undefined> =>
      extract(ctx, path, `still${n}.png`, [...inputOptions, ...seek], stillOf(video, among)).catch(
        (error: unknown) => {
          if (!refusal(error)) throw error;
          return undefined;
        },
      );
    const file = (await take(KEY_FRAMES_ONLY, KEY_FRAMES)) ?? (await take([], FRAMES));
    const light = file ? await lightOf(file) : -1;
    if (file && light > (best?.light ?? -1)) best = { file, light };
    if (light >= DARK) break;
  }
  return orRefuse(best?.file);
}

/** The most typical of the next frames: not the middle of a cut or a flash. */
const stillOf = (video: SourceVideo, among: number): string[] => {
  const scale = Math.min(1, MAX_WIDTH / video.width);
  const size = { width: even(video.width * scale), height: even(video.height * scale) };
  return ['-map', `0:${video.index}`, '-vf', [...plainPicture(video, size), `thumbnail=${among}`].join(',')];
};

const even = (length: number): number => Math.max(2, Math.round(length / 2) * 2);

/** One frame as PNG; undefined when there is none at this place. */
async function extract(
  ctx: StepContext,
  source: string,
  name: string,
  inputOptions: string[],
  options: string[],
): Promise<string | undefined> {
  const { ffmpeg, scratch, signal } = ctx;
  const output = {
    options: [...options, '-frames:v', '1', '-fs', String(256 << 20), '-f', 'image2', '-update', '1'],
    path: name,
  };
  try {
    await ffmpeg.encode({
      source,
      scratch,
      inputOptions,
      outputs: [output],
      signal,
      patience: QUIET,
      background: true,
      wallMs: 300_000,
    });
  } catch (error) {
    throw encodeFailure(error);
  }
  return existsSync(join(scratch, name)) ? join(scratch, name) : undefined;
}

function orRefuse(file: string | undefined): string {
  if (!file) throw refuse('no_still', 'No picture of it could be decoded for a poster.');
  return file;
}

async function lightOf(file: string): Promise<number> {
  const { channels } = await sharp(file).stats();
  return channels.reduce((light, { mean }) => light + mean / channels.length, 0);
}

async function writePosters(still: string, folder: string, maxPixels: number): Promise<PosterDetails> {
  const image = sharp(still, { limitInputPixels: maxPixels }).flatten({ background: '#000' });
  const largest = Math.min(MAX_WIDTH, (await image.metadata()).width);
  const sizes: PosterDetails['sizes'] = [];
  for (const width of [...WIDTHS.filter((w) => w < largest), largest]) {
    const name = width === largest ? 'poster' : `poster-${width}`;
    const resized = image.clone().resize({ width });
    const { height } = await resized
      .clone()
      .jpeg({ quality: 82, mozjpeg: true })
      .toFile(join(folder, `${name}.jpg`));
    await resized.webp({ quality: 80 }).toFile(join(folder, `${name}.webp`));
    sizes.push({ name, width, height });
  }
  const tiny = await image
    .resize({ width: PLACEHOLDER_WIDTH, height: PLACEHOLDER_WIDTH, fit: 'inside' })
    .webp({ quality: 40 })
    .toBuffer();
  await rm(still);
  const { width, height } = sizes.at(-1)!;
  return { width, height, sizes, placeholder: `data:image/webp;base64,${tiny.toString('base64')}` };
}
