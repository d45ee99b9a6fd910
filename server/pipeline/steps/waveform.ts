/** The shape of a sound without a picture: its lowest and highest samples over a fixed number of moments. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeFailure, refuse } from '../failures.ts';
import { holding } from '../footprint.ts';
import { publish } from '../output/publish.ts';
import type { Step, StepContext } from '../step.ts';
import { fetchRendition, isStored, storedRendition, storedStream } from '../output/stored.ts';

export const waveformStep: Step = {
  name: 'waveform',
  priority: 5,
  required: false,
  extra: true,
  fromStored: true,
  needs: (source) => holding(source, [], 1),
  done: ({ outputs }) => outputs.has('waveform'),
  // Nobody looks at the sound of a video; and it costs a decoding.
  due: (state) => state.encoding.wanted.waveform && !!state.source && !state.source.video && isStored(state),
  async run(ctx) {
    ctx.progress({ percent: 0, stage: 'Drawing the waveform' });
    const stream = await storedStream(ctx);
    const { name = '' } = stream.details.audio[0] ?? {};
    const rendition = await storedRendition(ctx, stream, name);
    const path = join(ctx.scratch, 'sound.mp4');
    await fetchRendition(ctx, rendition, path);
    const samplesPerPixel = Math.max(SMALLEST, Math.ceil((rendition.duration * SAMPLE_RATE) / POINTS));
    const data = await measurePeaks(ctx, path, samplesPerPixel);
    if (!data.length) throw refuse('not_decodable', 'Its sound can not be decoded.');
    const folder = join(ctx.scratch, 'waveform');
    await mkdir(folder);
    await writeFile(join(folder, 'waveform.json'), JSON.stringify(waveform(samplesPerPixel, data)));
    return publish(ctx, folder, 'waveform', { length: data.length / 2 });
  },
};

/** More than a screen has columns for. */
const POINTS = 1000;
/** What the encoder makes of every sound. */
const SAMPLE_RATE = 48_000;
/** Samples: below that a moment is no sound but a swing of it. */
const SMALLEST = 256;

/** Data format, version 2: https://github.com/bbc/audiowaveform/blob/master/doc/DataFormat.md */
const waveform = (samplesPerPixel: number, data: number[]) => ({
  version: 2,
  channels: 1,
  sample_rate: SAMPLE_RATE,
  samples_per_pixel: samplesPerPixel,
  bits: 8,
  length: data.length / 2,
  data,
});

/** Lowest and highest of every `samples` in turn. FFmpeg looks at the samples; two lines per moment come back. */
async function measurePeaks(ctx: StepContext, source: string, samples: number): Promise<number[]> {
  const { ffmpeg, scratch, signal } = ctx;
  const graph = [
    `aformat=sample_fmts=flt:sample_rates=${SAMPLE_RATE}:channel_layouts=mono`,
    `asetnsamples=n=${samples}:p=0`,
    'astats=metadata=1:reset=1:measure_perchannel=none:measure_overall=Min_level+Max_level',
    'ametadata=mode=print:file=-',
  ];
  const data: number[] = [];
  try {
    await ffmpeg.encode({
      source,
      scratch,
      signal,
      outputs: [{ options: ['-map', '0:a:0', '-af', graph.join(','), '-f', 'null'], path: '-' }],
      onLine: (line) => void take(data, line),
      wallMs: 2 * 3600_000,
    });
  } catch (error) {
    throw encodeFailure(error);
  }
  return data;
}

function take(data: number[], line: string): void {
  const [, which, level] = /^lavfi\.astats\.Overall\.(Min|Max)_level=(\S+)$/.exec(line) ?? [];
  if (!which || data.length >= 2 * (POINTS + 1)) return;
  const sample = Number(level) * 128;
  data.push(Number.isFinite(sample) ? Math.max(-128, Math.min(127, Math.round(sample))) : 0);
}
