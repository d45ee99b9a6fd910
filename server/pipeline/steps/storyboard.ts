/** Small pictures over the whole length of a video, in sheets, and where each is found in them (WebVTT). */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { TIME_OFFSET } from '../../hls/time.ts';
import type { StoryboardDetails } from '../../media/output.ts';
import { encodeFailure, refuse } from '../failures.ts';
import { publish } from '../output/publish.ts';
import { rungsOf } from '../encode/ladder.ts';
import type { Step, StepContext } from '../step.ts';
import {
  fetchPictures,
  isStored,
  storedPictures,
  storedStream,
  type StoredPicture,
} from '../output/stored.ts';
import {
  MAX_TILES,
  TILE_PIXELS,
  nearestBefore,
  planStoryboard,
  sheetOf,
  storyboardVtt,
} from '../extras/storyboard.ts';

export const storyboardStep: Step = {
  name: 'storyboard',
  priority: 8,
  required: false,
  extra: true,
  fromStored: true,
  needs(source, { ladder }) {
    const [rung] = rungsOf(source, ladder).slice(-1);
    const pixels = TILE_PIXELS * CHANNELS + (rung ? rung.width * rung.height * MOST_PER_PIXEL : 0);
    return { bytes: MAX_TILES * pixels, memory: 0 };
  },
  done: ({ outputs }) => outputs.has('storyboard'),
  due: (state) => {
    const { source, outputs, encoding } = state;
    return (
      encoding.wanted.storyboard && source?.video !== undefined && (outputs.has('first') || isStored(state))
    );
  },
  async run(ctx) {
    ctx.progress({ percent: 0, stage: 'Taking small pictures' });
    const stream = await storedStream(ctx);
    // The smallest rung has the pixels that tiles need, and fewest bytes to fetch.
    const rung = stream.details.variants.reduce((a, b) => (b.width * b.height < a.width * a.height ? b : a));
    const { init, pictures, duration } = await storedPictures(ctx, stream, rung.name);
    const plan = planStoryboard(duration, rung);
    const path = join(ctx.scratch, 'pictures.mp4');
    await fetchPictures(ctx, { init, pictures: nearestTo(plan.times, pictures) }, path);
    const frames = await decoded(ctx, path, plan);
    if (!frames.length) throw refuse('not_decodable', 'No picture of it could be decoded for a storyboard.');
    const folder = join(ctx.scratch, 'storyboard');
    await mkdir(folder);
    const shown = plan.times.map((time) => nearestBefore(frames, time));
    await writeSheets(plan, shown, folder);
    await writeFile(join(folder, 'storyboard.vtt'), storyboardVtt(plan, duration));
    const { times, ...details } = plan;
    return publish(ctx, folder, 'storyboard', details);
  },
};

/** A still picture out of the rung: a file of pixels as they are, three bytes each. To compress them would take longer than all else. */
interface Frame {
  /** Seconds. */
  time: number;
  path: string;
}

const CHANNELS = 3;
/** Bytes of a key frame for each of its pixels, at most: as many as without compression. */
const MOST_PER_PIXEL = 1.5;

interface Plan extends StoryboardDetails {
  /** Seconds: what each tile shows. */
  times: number[];
}

/** The key frames that are shown at these times: of a film of hours, a hundred. */
const nearestTo = (times: number[], pictures: StoredPicture[]): StoredPicture[] =>
  pictures.length ? [...new Set(times.map((time) => nearestBefore(pictures, time)))] : [];

/** Decodes pictures that were fetched, small. */
async function decoded(ctx: StepContext, source: string, { width, height }: Plan): Promise<Frame[]> {
  const { ffmpeg, scratch, signal } = ctx;
  const folder = join(scratch, 'frames');
  await mkdir(folder);
  const options = [
    ...['-map', '0:v:0', '-vf', `scale=${width}:${height}:flags=bicubic,setsar=1`],
    // The name of each file is its time in milliseconds.
    ...['-fps_mode', 'passthrough', '-enc_time_base', '1:1000', '-frame_pts', '1'],
    ...['-c:v', 'rawvideo', '-pix_fmt', 'rgb24', '-f', 'image2'],
  ];
  try {
    await ffmpeg.encode({
      ...{ source, scratch, signal },
      inputOptions: ['-copyts'],
      outputs: [{ options, path: 'frames/%d.rgb' }],
      wallMs: 10 * 60_000,
    });
  } catch (error) {
    throw encodeFailure(error);
  }
  return (await readdir(folder))
    .map((name) => ({ time: parseInt(name, 10) / 1000 - TIME_OFFSET, path: join(folder, name) }))
    .sort((a, b) => a.time - b.time);
}

async function writeSheets(plan: Plan, frames: Frame[], folder: string): Promise<void> {
  for (let sheet = 0; sheet < plan.sheets; sheet++) {
    const { first, tiles, columns, rows } = sheetOf(plan, sheet);
    const raw = { width: plan.width, height: plan.height, channels: CHANNELS } as const;
    const pictures = await Promise.all(
      frames.slice(first, first + tiles).map(async ({ path }, n) => ({
        input: await readFile(path),
        raw,
        left: (n % columns) * plan.width,
        top: Math.floor(n / columns) * plan.height,
      })),
    );
    const size = { width: columns * plan.width, height: rows * plan.height };
    await sharp({ create: { ...size, channels: CHANNELS, background: '#000' } })
      .composite(pictures)
      .webp({ quality: 65 })
      .toFile(join(folder, `storyboard-${sheet + 1}.webp`));
  }
}
