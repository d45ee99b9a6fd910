/** Text subtitles of the uploaded file, as WebVTT. */
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SubtitleTrack } from '../../media/output.ts';
import type { Source, SourceSubtitles } from '../../media/source.ts';
import { QUIET } from '../ffmpeg/ffmpeg.ts';
import { encodeFailure } from '../failures.ts';
import { publish } from '../output/publish.ts';
import type { Step, StepContext } from '../step.ts';
import { labels } from '../../hls/labels.ts';
import { cleanVtt, MAX_VTT_BYTES } from '../extras/vtt.ts';

export const subtitlesStep: Step = {
  name: 'subtitles',
  priority: 15,
  required: false,
  extra: true,
  done: ({ outputs }) => outputs.has('subtitles'),
  due: ({ source, encoding }) => encoding.wanted.subtitles && !!source && texts(source).length > 0,
  async run(ctx) {
    ctx.progress({ percent: 0, stage: 'Taking out subtitles' });
    const streams = texts(ctx.source());
    await extract(ctx, streams);
    const folder = join(ctx.scratch, 'subtitles');
    await mkdir(folder);
    const tracks: SubtitleTrack[] = [];
    const named = labels(streams);
    for (const [n, stream] of streams.entries()) {
      const { text, cues } = cleanVtt(await readRaw(join(ctx.scratch, `${n}.vtt`)), ctx.source().duration);
      if (!cues) continue;
      const name = String(tracks.length + 1);
      await writeFile(join(folder, `${name}.vtt`), text);
      tracks.push({
        name,
        cues,
        ...named[n]!,
        ...{ isDefault: stream.isDefault, isForced: stream.isForced },
      });
    }
    // Streams that say nothing are no subtitles: the step is over without an output.
    return tracks.length ? publish(ctx, folder, 'subtitles', { tracks }) : async () => {};
  },
};

/** Those of pictures (DVD, Blu-ray, DVB) would have to be read by a machine. */
const texts = ({ subtitles = [] }: Source): SourceSubtitles[] => subtitles.filter(({ isText }) => isText);

/** Reads the file once for all of them. What FFmpeg writes is checked afterwards: see vtt.ts. */
async function extract(ctx: StepContext, streams: SourceSubtitles[]): Promise<void> {
  const { ffmpeg, scratch, signal } = ctx;
  try {
    await ffmpeg.encode({
      source: await ctx.sourcePath(),
      ...{ scratch, signal },
      outputs: streams.map(({ index }, n) => ({
        subtitles: true,
        options: ['-map', `0:${index}`, '-c:s', 'webvtt', '-fs', String(MAX_VTT_BYTES), '-f', 'webvtt'],
        path: `${n}.vtt`,
      })),
      patience: QUIET,
      wallMs: 2 * 3600_000,
    });
  } catch (error) {
    throw encodeFailure(error);
  }
}

async function readRaw(path: string): Promise<string> {
  const { size } = (await stat(path).catch(absent)) ?? { size: 0 };
  const text = size && size < 2 * MAX_VTT_BYTES ? await readFile(path, 'utf8') : '';
  await rm(path, { force: true });
  return text;
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
