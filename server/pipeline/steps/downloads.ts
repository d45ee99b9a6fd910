/** Files to keep: an MP4 of the best rendition, and the sound alone as M4A. Nothing is encoded again. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { TIME_OFFSET } from '../../hls/time.ts';
import type { HlsDetails } from '../../media/output.ts';
import { QUIET } from '../ffmpeg/ffmpeg.ts';
import { encodeFailure, refuse } from '../failures.ts';
import { holding } from '../footprint.ts';
import { rungsOf } from '../encode/ladder.ts';
import { percentOf } from '../ffmpeg/progress.ts';
import { publish } from '../output/publish.ts';
import type { Step, StepContext } from '../step.ts';
import {
  fetchRendition,
  isStored,
  storedRendition,
  storedStream,
  type StoredStream,
} from '../output/stored.ts';

export const mp4Step: Step = {
  name: 'mp4',
  priority: 3,
  required: false,
  extra: true,
  fromStored: true,
  needs: (source, { ladder }) => holding(source, rungsOf(source, ladder).slice(0, 1), 1, 2),
  done: ({ outputs }) => outputs.has('mp4'),
  due: (state) => state.encoding.wanted.mp4 && state.source?.video !== undefined && isStored(state),
  async run(ctx) {
    const stream = await storedStream(ctx);
    const rung = bestVideo(stream.details);
    const [sound] = stream.details.audio;
    const duration = await mux(ctx, stream, [rung.name, ...(sound ? [sound.name] : [])], 'mp4');
    const { width, height } = rung;
    return publish(ctx, join(ctx.scratch, FOLDER), 'mp4', { duration, width, height });
  },
};

export const m4aStep: Step = {
  name: 'm4a',
  priority: 4,
  required: false,
  extra: true,
  fromStored: true,
  needs: (source) => holding(source, [], 1, 2),
  done: ({ outputs }) => outputs.has('m4a'),
  due: (state) => state.encoding.wanted.m4a && !!state.source?.audio.length && isStored(state),
  async run(ctx) {
    const stream = await storedStream(ctx);
    const [sound] = stream.details.audio;
    if (!sound) throw refuse('no_sound', 'Its sound could not be decoded.');
    const duration = await mux(ctx, stream, [sound.name], 'm4a');
    return publish(ctx, join(ctx.scratch, FOLDER), 'm4a', { duration });
  },
};

const FOLDER = 'download';

/** The largest that every player plays. */
function bestVideo({ variants }: Pick<HlsDetails, 'variants'>): HlsDetails['variants'][number] {
  const playable = variants.filter(({ codecs }) => codecs.startsWith('avc1'));
  const best = [...playable].sort(
    (a, b) => b.width * b.height - a.width * a.height || b.bandwidth - a.bandwidth,
  )[0];
  if (!best) throw refuse('no_video', 'It has no H.264 rendition that could become an MP4.');
  return best;
}

/** Joins stored renditions into `download/download.{ending}` by copying; resolves with its seconds. */
async function mux(ctx: StepContext, stream: StoredStream, names: string[], ending: string): Promise<number> {
  const { ffmpeg, scratch, signal } = ctx;
  const stage = 'Writing the download';
  ctx.progress({ percent: 0, stage });
  let duration = 0;
  for (const [n, name] of names.entries()) {
    const rendition = await storedRendition(ctx, stream, name);
    duration ||= rendition.duration;
    await fetchRendition(ctx, rendition, join(scratch, `${n}.mp4`));
  }
  await mkdir(join(scratch, FOLDER));
  const percent = percentOf(duration);
  try {
    await ffmpeg.encode({
      source: join(scratch, '0.mp4'),
      moreSources: names.slice(1).map((_, n) => `${n + 1}.mp4`),
      ...{ scratch, signal },
      // Both keep their times: the encoder's priming samples lie before 0, where an edit list leaves them out.
      inputOptions: ['-copyts'],
      outputs: [{ options: copied(names, duration), path: `${FOLDER}/download.${ending}` }],
      fileSize: FILE_SIZE,
      wallMs: 3600_000,
      patience: QUIET,
      onProgress: ({ seconds }) => {
        if (seconds !== undefined) ctx.progress({ percent: percent(seconds - TIME_OFFSET), stage });
      },
    });
  } catch (error) {
    throw encodeFailure(error);
  }
  return duration;
}

/** Bytes: what 12 hours at 25 Mb/s have. */
const FILE_SIZE = 128 * 1024 ** 3;

const copied = (names: string[], duration: number): string[] => [
  ...names.flatMap((_, n) => ['-map', `${n}:0`]),
  ...['-c', 'copy', '-output_ts_offset', String(-TIME_OFFSET), '-t', String(duration + 2 * TIME_OFFSET)],
  // The index at the front: it plays while it is still coming.
  ...['-movflags', '+faststart', '-f', 'mp4'],
];
