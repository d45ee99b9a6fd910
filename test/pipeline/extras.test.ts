/** What a media gets beside its stream: made by real FFmpeg, read back by others. */
import { execa } from 'execa';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import sharp from 'sharp';
import type { OutputDetails, OutputKind } from '../../server/media/output.ts';
import type { Source } from '../../server/media/source.ts';
import { decodeErrors, makeMedia, realMedia } from '../media.ts';
import { openBench, type Bench } from './harness.ts';

const lavfi = (...graphs: string[]): string[] => graphs.flatMap((graph) => ['-f', 'lavfi', '-i', graph]);
const H264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p'];
const SRT = [
  '1\n00:00:00,500 --> 00:00:01,500\n<i>Hello</i> & <script>alert(1)</script>\n',
  '2\n00:00:03,000 --> 00:00:09,000\nA --> B\n\nWEBVTT\n',
].join('\n');

let bench: Bench;
const files: string[] = [];
beforeAll(async () => {
  bench = await openBench({ LADDER: '240,144', DOWNLOAD_MP4: 'on', DOWNLOAD_M4A: 'on' });
});
afterAll(async () => {
  await bench.close();
  for (const file of files) await rm(dirname(file), { recursive: true });
});

const make = async (name: string, args: string[]): Promise<string> => {
  const file = await makeMedia(name, args);
  files.push(file);
  return file;
};

/** Matroska counts from the first sound, which may be some milliseconds before 0. */
const near = (seconds: number): number => expect.closeTo(seconds, 1) as number;

interface Made {
  id: string;
  source: Source;
  kinds: string[];
  /** A folder on disk, and what the row says of it. */
  of<K extends OutputKind>(kind: K): Promise<{ folder: string; details: OutputDetails[K] }>;
}

async function process(file: string): Promise<Made> {
  const id = await bench.upload(file);
  await bench.drain();
  const media = await bench.media(id);
  expect([media.errorMessage, media.status]).toEqual([null, 'ready']);
  const outputs = await bench.outputs(id);
  return {
    id,
    source: JSON.parse(media.source!) as Source,
    kinds: [...new Set(outputs.map((o) => o.kind))].sort(),
    async of(kind) {
      const { prefix, details } = outputs.find((o) => o.kind === kind)!;
      return { folder: bench.storage.pathOf(prefix), details: JSON.parse(details) as never };
    },
  };
}

/** WebVTT as a player reads it. */
function cuesOf(vtt: string): { start: number; end: number; text: string }[] {
  const [head, ...blocks] = vtt.trim().split('\n\n');
  expect(head).toBe('WEBVTT');
  const seconds = (time = ''): number => time.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
  return blocks.map((block) => {
    const [times = '', ...text] = block.split('\n');
    const [start, end] = times.split(' --> ');
    return { start: seconds(start), end: seconds(end), text: text.join('\n') };
  });
}

/** Whether the index stands before the bytes it points to. */
async function isFaststart(file: string): Promise<boolean> {
  const bytes = await readFile(file);
  return bytes.indexOf('moov') < bytes.indexOf('mdat');
}

async function packets(file: string, stream: string): Promise<number> {
  const { stdout } = await execa('ffprobe', [
    ...['-v', 'error', '-select_streams', stream, '-count_packets'],
    ...['-show_entries', 'stream=nb_read_packets', '-of', 'csv=p=0', file],
  ]);
  return parseInt(stdout, 10); // of a playlist it says it twice: for the program too
}

async function expectStoryboard(made: Made): Promise<void> {
  const { folder, details } = await made.of('storyboard');
  const cues = cuesOf(await readFile(join(folder, 'storyboard.vtt'), 'utf8'));
  const { details: hls } = await made.of('ladder');
  expect(cues).toHaveLength(details.tiles);
  expect(cues[0]!.start).toBe(0);
  expect(cues.at(-1)!.end).toBeCloseTo(hls.duration, 2);
  for (const [n, cue] of cues.entries()) {
    if (n) expect(cue.start).toBeCloseTo(cues[n - 1]!.end, 2);
    const [, sheet = '', ...box] =
      /^(storyboard-\d+\.webp)#xywh=(\d+),(\d+),(\d+),(\d+)$/.exec(cue.text) ?? [];
    const [x = 0, y = 0, w = 0, h = 0] = box.map(Number);
    const { width, height } = await sharp(join(folder, sheet)).metadata();
    expect([w, h]).toEqual([details.width, details.height]);
    expect(x + w).toBeLessThanOrEqual(width);
    expect(y + h).toBeLessThanOrEqual(height);
  }
}

describe('a film with subtitles', () => {
  let made: Made;
  beforeAll(async () => {
    const srt = await make('s.mkv', [...lavfi('color=size=16x16:duration=1')]).then((file) =>
      join(dirname(file), 's.srt'),
    );
    await writeFile(srt, SRT);
    // Each second is as bright as it is late: a tile tells when it was taken.
    const film = await make('film.mkv', [
      ...lavfi("color=black:size=320x180:rate=25:duration=7,geq=lum='16+30*floor(T)':cb=128:cr=128"),
      ...lavfi('sine=frequency=440:sample_rate=48000:duration=7'),
      ...[
        '-i',
        srt,
        '-i',
        srt,
        '-map',
        '0',
        '-map',
        '1',
        '-map',
        '2',
        '-map',
        '3',
        ...H264,
        '-c:s:0',
        'subrip',
      ],
      ...['-c:s:1', 'ass', '-metadata:s:s:0', 'language=ger', '-metadata:s:s:1', 'title=Signs "here"'],
      ...['-disposition:s:0', 'default', '-disposition:s:1', 'forced'],
    ]);
    made = await process(film);
  });

  it('gets everything', () => {
    expect(made.kinds).toEqual(['copy', 'ladder', 'm4a', 'mp4', 'poster', 'storyboard', 'subtitles']);
  });

  it('has a storyboard of its whole length', async () => {
    await expectStoryboard(made);
    const { folder, details } = await made.of('storyboard');
    expect(details).toEqual({ interval: 2, tiles: 4, width: 240, height: 136, columns: 4, sheets: 1 });
    const sheet = sharp(join(folder, 'storyboard-1.webp'));
    expect(await sheet.metadata()).toMatchObject({ format: 'webp', width: 960, height: 136 });
    const { data } = await sheet
      .resize(4, 1, { fit: 'fill' })
      .greyscale()
      .raw()
      .toBuffer({ resolveWithObject: true });
    const seconds = [...data].map((light) => Math.round(light / ((30 * 255) / 219)));
    expect(seconds).toEqual([1, 2, 4, 6]); // the key frames
  });

  it('has a poster in sizes, none larger than the picture', async () => {
    const { folder, details } = await made.of('poster');
    expect(details.sizes).toEqual([{ name: 'poster', width: 320, height: 180 }]);
    expect(details.placeholder).toMatch(/^data:image\/webp;base64,/);
    expect(await sharp(join(folder, 'poster.webp')).metadata()).toMatchObject({ width: 320, format: 'webp' });
  });

  it('has an MP4 with every frame of the best rendition, and its sound in time', async () => {
    const { folder, details } = await made.of('mp4');
    const file = join(folder, 'download.mp4');
    expect(details).toMatchObject({ width: 320, height: 180 });
    expect(await isFaststart(file)).toBe(true);
    expect(await decodeErrors(file)).toBe('');
    const { folder: hls } = await made.of('ladder');
    expect(await packets(file, 'v')).toBe(await packets(join(hls, 'v180', 'index.m3u8'), 'v'));
    expect(await packets(file, 'a')).toBe(await packets(join(hls, 'a0', 'index.m3u8'), 'a'));
    const { stdout } = await execa('ffprobe', [
      ...['-v', 'error', '-show_entries', 'format=start_time,duration', '-of', 'csv=p=0', file],
    ]);
    const [start, duration] = stdout.split(',').map(Number);
    expect(start).toBeCloseTo(0, 3);
    expect(Math.abs(duration! - 7)).toBeLessThan(0.05);
  });

  it('has its sound alone', async () => {
    const { folder } = await made.of('m4a');
    const file = join(folder, 'download.m4a');
    expect(await isFaststart(file)).toBe(true);
    expect(await decodeErrors(file)).toBe('');
    expect(await packets(file, 'a')).toBeGreaterThan((7 * 48_000) / 1024 - 1);
  });

  it('has subtitles that say what they said, and nothing to a parser', async () => {
    expect(made.source.subtitles).toEqual([
      expect.objectContaining({
        codec: 'subrip',
        isText: true,
        language: 'de',
        isDefault: true,
        isForced: false,
      }),
      expect.objectContaining({ codec: 'ass', isText: true, title: 'Signs "here"', isForced: true }),
    ]);
    const { folder, details } = await made.of('subtitles');
    expect(details.tracks).toEqual([
      { name: '1', cues: 2, label: 'Deutsch', language: 'de', isDefault: true, isForced: false },
      { name: '2', cues: 2, label: 'Signs "here"', language: 'und', isDefault: false, isForced: true },
    ]);
    for (const { name } of details.tracks)
      expect(cuesOf(await readFile(join(folder, `${name}.vtt`), 'utf8'))).toEqual([
        { start: near(0.5), end: near(1.5), text: '<i>Hello</i> &amp; alert(1)' },
        { start: near(3), end: near(7), text: 'A --&gt; B\nWEBVTT' },
      ]);
  });
});

describe('a tall film', () => {
  it('has tall tiles, and posters in more sizes', async () => {
    const made = await process(
      await make('a.mp4', [...lavfi('testsrc2=size=720x1280:rate=5:duration=1'), ...H264]),
    );
    await expectStoryboard(made);
    const { details } = await made.of('storyboard');
    expect(details).toMatchObject({ tiles: 1, width: 136, height: 240 });
    const { folder, details: poster } = await made.of('poster');
    expect(poster.sizes.map(({ name, width }) => [name, width])).toEqual([
      ['poster-320', 320],
      ['poster-640', 640],
      ['poster', 720],
    ]);
    for (const { name, width, height } of poster.sizes)
      for (const ending of ['jpg', 'webp'])
        expect(await sharp(join(folder, `${name}.${ending}`)).metadata()).toMatchObject({ width, height });
  });
});

describe('a sound', () => {
  it('has a waveform: half of it loud, half of it silent', async () => {
    const tone = 'aevalsrc=0.5*sin(440*2*PI*t)*lt(t\\,2):s=44100:d=4';
    const made = await process(await make('a.flac', lavfi(tone)));
    expect(made.kinds).toEqual(['ladder', 'm4a', 'waveform']);
    const { folder, details } = await made.of('waveform');
    const wave = JSON.parse(await readFile(join(folder, 'waveform.json'), 'utf8')) as {
      [name: string]: unknown;
      length: number;
      data: number[];
    };
    expect(wave).toMatchObject({
      version: 2,
      channels: 1,
      bits: 8,
      sample_rate: 48_000,
      samples_per_pixel: 256,
    });
    expect(wave.length).toBe(details.length);
    expect(wave.data).toHaveLength(wave.length * 2);
    expect(Math.abs((wave.length * 256) / 48_000 - 4)).toBeLessThan(0.1);
    const half = wave.length / 2;
    const at = (pair: number): number[] => wave.data.slice(Math.floor(pair) * 2, Math.floor(pair) * 2 + 2);
    for (const [low, high] of [at(half * 0.3), at(half * 0.7)]) {
      expect(Math.abs(low! + 64)).toBeLessThan(4);
      expect(Math.abs(high! - 64)).toBeLessThan(4);
    }
    for (const pair of [at(half * 1.3), at(half * 1.7)]) expect(pair.map(Math.abs)).toEqual([0, 0]);
  });
});

for (const file of realMedia())
  it(`a file from the world gets its extras: ${basename(file)}`, async () => {
    const made = await process(file);
    if (made.source.video) await expectStoryboard(made);
    expect(made.kinds).toContain(made.source.video ? 'mp4' : 'waveform');
    expect(made.kinds.includes('m4a')).toBe(made.source.audio.length > 0);
  });
