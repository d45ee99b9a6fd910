/** Small pictures over the whole length of a video, in sheets, and where each is found in them (WebVTT). */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { TIME_OFFSET } from '../../hls/time.ts';
import type { StoryboardDetails } from '../../media/output.ts';
import { encodeFailure, refuse } from '../failures.ts';
import { publish } from '../output/publish.ts';
import { holding } from '../footprint.ts';
import { LONGEST_SEGMENT } from '../encode/cuts.ts';
import { rungsOf } from '../encode/ladder.ts';
import type { Step, StepContext } from '../step.ts';
import {
  fetchRendition,
  isStored,
  storedRendition,
  storedStream,
  type StoredSegment,
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
    const { bytes, memory } = holding(source, rungsOf(source, ladder).slice(-1), 0);
    return { bytes: bytes + FRAMES_BYTES, memory };
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
    const rendition = await storedRendition(ctx, stream, rung.name);
    const plan = planStoryboard(rendition.duration, rung);
    const segments = neededSegments(rendition.segments, plan.times);
    const path = join(ctx.scratch, 'rung.mp4');
    await fetchRendition(ctx, { init: rendition.init, segments }, path);
    const frames = await keyFrames(ctx, path, plan);
    if (!frames.length) throw refuse('not_decodable', 'No picture of it could be decoded for a storyboard.');
    const folder = join(ctx.scratch, 'storyboard');
    await mkdir(folder);
    const shown = plan.times.map((time) => nearestBefore(frames, time));
    await writeSheets(plan, shown, folder);
    await writeFile(join(folder, 'storyboard.vtt'), storyboardVtt(plan, rendition.duration));
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
/** Seconds from one to the next at least: an editor's file may have nothing but key frames. */
const FRAMES_APART = 1;
/** What they take on the disk, at most. */
const FRAMES_BYTES = MAX_TILES * Math.ceil(LONGEST_SEGMENT / FRAMES_APART) * TILE_PIXELS * CHANNELS;

interface Plan extends StoryboardDetails {
  /** Seconds: what each tile shows. */
  times: number[];
}

/** Those in which the wanted moments lie: of a film of hours, a hundred. */
const neededSegments = (segments: StoredSegment[], times: number[]): StoredSegment[] => [
  ...new Set(times.map((time) => segments.findLast(({ start }) => start <= time) ?? segments[0]!)),
];

const THINNED = `select='isnan(prev_selected_t)+gte(t-prev_selected_t,${FRAMES_APART})'`;

/** Decodes the key frames alone (one in 2 s), small. */
async function keyFrames(ctx: StepContext, source: string, { width, height }: Plan): Promise<Frame[]> {
  const { ffmpeg, scratch, signal } = ctx;
  const folder = join(scratch, 'frames');
  await mkdir(folder);
  const options = [
    ...['-map', '0:v:0', '-vf', `${THINNED},scale=${width}:${height}:flags=bicubic,setsar=1`],
    // The name of each file is its time in milliseconds.
    ...['-fps_mode', 'passthrough', '-enc_time_base', '1:1000', '-frame_pts', '1'],
    ...['-c:v', 'rawvideo', '-pix_fmt', 'rgb24', '-f', 'image2'],
  ];
  try {
    await ffmpeg.encode({
      ...{ source, scratch, signal },
      inputOptions: ['-skip_frame', 'nokey', '-copyts'],
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
