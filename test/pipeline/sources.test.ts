/** Every kind of source people have, through the whole pipeline: what comes out is held against the rules. */
import { execa } from 'execa';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import sharp from 'sharp';
import type { HlsDetails, PosterDetails } from '../../server/media/output.ts';
import type { Source } from '../../server/media/source.ts';
import { decodeErrors, makeMedia, realMedia } from '../media.ts';
import { openBench, type Bench } from './harness.ts';
import { checkHls } from './hls-rules.ts';

const lavfi = (...graphs: string[]): string[] => graphs.flatMap((graph) => ['-f', 'lavfi', '-i', graph]);
const picture = (size = '320x180', rate = '25', seconds = 2): string =>
  `testsrc2=size=${size}:rate=${rate}:duration=${seconds}`;
const sine = (seconds = 2): string => `sine=frequency=440:sample_rate=48000:duration=${seconds}`;
const H264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p'];
/** FFmpeg 5 takes the colours from the output's options, 7 from the pictures. */
function hdr(transfer: string): string[] {
  const colours = { color_primaries: 'bt2020', color_trc: transfer, colorspace: 'bt2020nc' };
  const ofPictures = Object.entries(colours).map(([name, value]) => `${name}=${value}`);
  const ofOutput = Object.entries(colours).flatMap(([name, value]) => [`-${name}`, value]);
  const tagged = `${picture()},format=yuv420p10le,setparams=${ofPictures.join(':')}`;
  return [...lavfi(tagged), ...H264, '-pix_fmt', 'yuv420p10le', ...ofOutput];
}

interface Expected {
  /** Of the top rung. */
  size?: [number, number];
  rungs?: number;
  audio?: number;
  frameRate?: number;
  source?: object;
  video?: object;
}

const MADE: [name: string, file: string, args: string[], expected: Expected][] = [
  ['no sound', 'a.mp4', [...lavfi(picture()), ...H264], { size: [320, 180], rungs: 2, audio: 0 }],
  [
    '6.05 s, no segment for the crumb',
    'a.mp4',
    [...lavfi(picture('64x64', '24', 6.05)), ...H264],
    { rungs: 1 },
  ],
  [
    'very short',
    'a.mp4',
    [...lavfi(picture('320x240', '25', 0.2), sine(0.2)), ...H264],
    { rungs: 2, audio: 1 },
  ],
  ['one picture', 'a.mp4', [...lavfi(picture()), '-frames:v', '1', ...H264], { rungs: 2 }],
  [
    'odd sides',
    'a.mkv',
    [...lavfi(picture('321x241')), ...H264, '-pix_fmt', 'yuv444p'],
    { size: [320, 240] },
  ],
  ['smaller than any rung', 'a.mp4', [...lavfi(picture('98x66')), ...H264], { size: [98, 66], rungs: 1 }],
  ['square', 'a.mp4', [...lavfi(picture('240x240')), ...H264], { size: [240, 240], rungs: 2 }],
  ['mono mp3', 'a.mp3', [...lavfi(sine()), '-ac', '1'], { rungs: 0, audio: 1 }],
  ['wav of 8 kHz', 'a.wav', [...lavfi(sine()), '-ar', '8000'], { rungs: 0, audio: 1 }],
  ['opus in ogg', 'a.ogg', [...lavfi(sine()), '-c:a', 'libopus'], { rungs: 0, audio: 1 }],
  ['29.97', 'a.mp4', [...lavfi(picture('320x240', '30000/1001', 7), sine(7)), ...H264], { frameRate: 29.97 }],
  ['120 frames per second', 'a.mp4', [...lavfi(picture('128x72', '120')), ...H264], { frameRate: 60 }],
  ['10 bit', 'a.mkv', [...lavfi(picture(), sine()), ...H264, '-pix_fmt', 'yuv420p10le'], { audio: 1 }],
  ['anamorphic', 'a.mp4', [...lavfi(`${picture('180x144')},setsar=16/11`), ...H264], { size: [262, 144] }],
  ['alpha', 'a.mov', [...lavfi(`${picture()},format=argb`), '-c:v', 'qtrle'], { size: [320, 180] }],
  [
    'full range JPEG pictures',
    'a.avi',
    [...lavfi(picture(), sine()), '-c:v', 'mjpeg', '-c:a', 'pcm_s16le'],
    { audio: 1, frameRate: 25 },
  ],
  [
    'interlaced',
    'a.ts',
    [...lavfi(picture('320x240', '25'), sine()), ...H264, '-flags', '+ildct+ilme', '-x264opts', 'tff=1'],
    { frameRate: 25, video: { interlaced: true } },
  ],
  ['PQ', 'a.mp4', hdr('smpte2084'), { video: { hdr: true } }],
  ['HLG', 'a.mp4', hdr('arib-std-b67'), { video: { hdr: true } }],
  [
    'variable frame rate',
    'a.mkv',
    [
      ...lavfi(picture('320x180', '30', 4)),
      '-vf',
      "select='lt(mod(n,30),10)+not(mod(n,7))'",
      '-fps_mode',
      'vfr',
      ...H264,
    ],
    { frameRate: 30, video: { variableFrameRate: true } },
  ],
  [
    'sound that outlasts the picture',
    'a.mp4',
    [...lavfi(picture('320x180', '25', 1), sine(3)), ...H264],
    { audio: 1, source: { duration: expect.closeTo(3, 1) as number } },
  ],
  [
    'picture that starts late',
    'a.mp4',
    ['-itsoffset', '0.7', ...lavfi(picture()), ...lavfi(sine()), ...H264],
    { audio: 1, source: { duration: expect.closeTo(2.7, 1) as number } },
  ],
  [
    'two languages',
    'a.mkv',
    [...lavfi(picture(), sine(), sine()), '-map', '0', '-map', '1', '-map', '2', ...H264].concat([
      '-metadata:s:a:0',
      'language=ger',
      '-metadata:s:a:1',
      'language=eng',
    ]),
    {
      audio: 2,
      source: {
        audio: [expect.objectContaining({ language: 'de' }), expect.objectContaining({ language: 'en' })],
      },
    },
  ],
  [
    'H.264 of a camera, without a container',
    'a.h264',
    [...lavfi(picture('320x240', '30', 4)), ...H264, '-bf', '2'],
    { rungs: 2, frameRate: 30, source: { duration: expect.closeTo(4, 1) as number } },
  ],
  [
    'HEVC without a container',
    'a.hevc',
    [...lavfi(picture('320x240', '30000/1001', 3)), '-c:v', 'libx265', '-x265-params', 'log-level=error'],
    { rungs: 2, frameRate: 29.97 },
  ],
  // Its decoder takes key frames alone for damage.
  [
    'Theora',
    'a.ogv',
    [...lavfi(picture('320x240', '25', 4), sine(4)), '-c:v', 'libtheora', '-c:a', 'libvorbis'],
    { rungs: 2, audio: 1 },
  ],
  ['flv', 'a.flv', [...lavfi(picture(), sine()), ...H264, '-c:a', 'aac'], { audio: 1, frameRate: 25 }],
];

// What browsers record: no duration in the header, no frame rate. (`-live` writes it as they do.)
MADE.push([
  'WebM of a browser',
  'a.webm',
  [
    ...lavfi(picture('320x180', '30'), sine()),
    '-c:v',
    'libvpx',
    '-cpu-used',
    '8',
    '-deadline',
    'realtime',
  ].concat(['-c:a', 'libopus', '-live', '1']),
  { audio: 1, frameRate: 30, source: { duration: expect.closeTo(2, 1) as number } },
]);

let bench: Bench;
beforeAll(async () => {
  bench = await openBench({ LADDER: '240,144', STORYBOARD: 'off', WAVEFORM: 'off' });
});
afterAll(() => bench.close());

async function process(file: string): Promise<{
  source: Source;
  details: Pick<HlsDetails, 'duration' | 'variants' | 'audio'>;
  root: string;
  originOf: (name: string) => 'encoded' | 'kept';
  id: string;
}> {
  const id = await bench.upload(file);
  await bench.drain();
  const media = await bench.media(id);
  expect([media.errorCode, media.errorMessage, media.status]).toEqual([null, null, 'ready']);
  return { id, source: JSON.parse(media.source!) as Source, ...(await bench.stream(id)) };
}

/** Playlists obey the rules, every rung decodes, and the length is the source's within a frame. */
async function expectPlayable(
  file: string,
): Promise<Awaited<ReturnType<typeof process>> & { kept: boolean }> {
  const done = await process(file);
  const { broken, video, audio } = await checkHls(done.root, done.originOf);
  expect(broken).toEqual([]);
  const playlists = [...video, ...audio].map(({ name }) => join(done.root, name, 'index.m3u8'));
  expect(await decodeErrors(...playlists)).toBe('');
  // A sound has the encoder's priming before it, and its last frame is filled up.
  const frame = Math.max((video.length ? 1 : 2) * (1024 / 48_000), ...video.map((v) => 1 / v.frameRate));
  expect(Math.abs(done.details.duration - done.source.duration)).toBeLessThan(frame + 0.001);
  return { ...done, kept: video.some(({ name }) => done.originOf(name) === 'kept') };
}

describe.each(MADE)('%s', (_, name, args, expected) => {
  it('plays', async () => {
    const file = await makeMedia(name, args);
    try {
      const { source, details, id, kept } = await expectPlayable(file);
      const [top] = details.variants;
      if (expected.size) expect([top?.width, top?.height]).toEqual(expected.size);
      if (expected.rungs !== undefined) expect(details.variants).toHaveLength(expected.rungs);
      if (expected.audio !== undefined) expect(details.audio).toHaveLength(expected.audio);
      if (expected.frameRate) expect(top?.frameRate).toBe(expected.frameRate);
      expect(source).toMatchObject(expected.source ?? {});
      expect(source.video ?? {}).toMatchObject(expected.video ?? {});
      // Where the source's own picture is the only rung, nothing is encoded.
      const kinds = (await bench.outputs(id)).map((o) => o.kind).sort();
      expect(kinds.filter((kind) => kind !== 'copy')).toEqual(
        source.video
          ? kept && details.variants.length === 1
            ? ['poster']
            : ['ladder', 'poster']
          : ['ladder'],
      );
    } finally {
      await rm(dirname(file), { recursive: true });
    }
  });
});

for (const file of realMedia())
  it(`a file from the world plays: ${basename(file)}`, () => expectPlayable(file), 300_000);

/** Writes the matrix of a phone held upright (90 degrees clockwise) into the track header: ISO/IEC 14496-12, 8.3.2. */
async function turn(file: string): Promise<void> {
  const bytes = await readFile(file);
  const matrix = bytes.indexOf('tkhd') + 4 + 40;
  [0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000].forEach((n, i) => bytes.writeInt32BE(n, matrix + i * 4));
  await writeFile(file, bytes);
}

describe('a portrait video that lies on its side', () => {
  it('stands upright in stream and poster', async () => {
    // Red on the left: turned clockwise, red is on top.
    const halves = 'color=blue:size=320x180:rate=25:duration=1,drawbox=w=160:color=red:t=fill';
    const file = await makeMedia('a.mp4', [...lavfi(halves), ...H264]);
    await turn(file);
    const { source, details, id, root } = await expectPlayable(file);
    expect(source.video).toMatchObject({ width: 180, height: 320, codedWidth: 320, rotation: 90 });
    expect(details.variants[0]).toMatchObject({ name: 'v180', width: 180, height: 320 });
    const poster = (await bench.outputs(id)).find((o) => o.kind === 'poster')!;
    const still = await makeMedia('s.png', ['-i', join(root, 'index.m3u8'), '-frames:v', '1']);
    for (const picture of [bench.storage.pathOf(`${poster.prefix}poster.jpg`), still]) {
      expect(await sharp(picture).metadata()).toMatchObject({ width: 180, height: 320 });
      const half = sharp(picture).extract({ left: 0, top: 0, width: 180, height: 140 });
      const top = await sharp(await half.png().toBuffer()).stats(); // stats() looks at the input

      expect(top.channels.map((c) => Math.round(c.mean / 255))).toEqual([1, 0, 0]);
    }
    await Promise.all([file, still].map((f) => rm(dirname(f), { recursive: true })));
  });
});

describe('a call whose picture changes its size on the way', () => {
  it('keeps its time', async () => {
    const parts = ['320x240', '640x360', '320x240'].map((size, n) => {
      const offset = ['-muxdelay', '0', '-output_ts_offset', String(n * 2)];
      return makeMedia('a.ts', [...lavfi(picture(size)), ...H264, ...offset]);
    });
    const files = await Promise.all(parts);
    const whole = join(dirname(files[0]!), 'whole.ts');
    await writeFile(whole, Buffer.concat(await Promise.all(files.map((f) => readFile(f)))));
    const { root } = await expectPlayable(whole);
    const { video } = await checkHls(root);
    expect(video.map(({ name, packets }) => [basename(name), packets.length])).toEqual([
      ['v240', 150],
      ['v144', 150],
    ]);
    await Promise.all(files.map((f) => rm(dirname(f), { recursive: true })));
  });
});

describe('recordings that were put together', () => {
  it('go on where their clock jumps', async () => {
    const files = await Promise.all(
      [0, 5000, 3].map((offset) =>
        makeMedia('a.ts', [
          ...lavfi(picture('128x72'), sine()),
          ...H264,
          '-output_ts_offset',
          String(offset),
        ]),
      ),
    );
    const whole = join(dirname(files[0]!), 'whole.ts');
    await writeFile(whole, Buffer.concat(await Promise.all(files.map((f) => readFile(f)))));
    const { source } = await expectPlayable(whole);
    expect(source.duration).toBeGreaterThan(5.9);
    expect(source.duration).toBeLessThan(6.2);
    await Promise.all(files.map((f) => rm(dirname(f), { recursive: true })));
  }, 300_000);
});

describe('a sound with a cover', () => {
  it('is no video, and its cover is the poster', async () => {
    const cover = await makeMedia('c.png', [...lavfi('color=blue:size=200x100'), '-frames:v', '1']);
    const file = await makeMedia('a.mp3', [
      ...[
        ...lavfi(sine()),
        '-i',
        cover,
        '-map',
        '0',
        '-map',
        '1',
        '-c:v',
        'copy',
        '-disposition:v',
        'attached_pic',
      ],
    ]);
    const { source, details, id } = await expectPlayable(file);
    expect(source.video).toBeUndefined();
    expect(details).toMatchObject({ variants: [], audio: [{ name: 'a0', channels: 2 }] });
    const poster = (await bench.outputs(id)).find((o) => o.kind === 'poster')!;
    const { placeholder, ...sizes } = JSON.parse(poster.details) as PosterDetails;
    const size = { width: 200, height: 100 };
    expect(sizes).toEqual({ ...size, sizes: [{ name: 'poster', ...size }] });
    const tiny = sharp(Buffer.from(placeholder.replace('data:image/webp;base64,', ''), 'base64'));
    expect(await tiny.metadata()).toMatchObject({ format: 'webp', width: 24, height: 12 });
    expect((await readFile(bench.storage.pathOf(`${poster.prefix}poster.webp`))).length).toBeGreaterThan(0);
    await Promise.all([cover, file].map((f) => rm(dirname(f), { recursive: true })));
  });
});

describe('a clapperboard', () => {
  it('is heard when it is seen', async () => {
    const file = await makeMedia('a.mp4', [
      ...lavfi(`color=black:size=320x240:rate=50:duration=4,drawbox=color=white:t=fill:enable='gte(t,2)'`),
      ...lavfi(`sine=frequency=1000:sample_rate=44100:duration=4,volume=0:enable='lt(t,2)'`),
      ...[...H264, '-c:a', 'aac'],
    ]);
    const { root } = await expectPlayable(file);
    const { video, audio } = await checkHls(root);
    // Priming, one AAC frame, comes before the first sound.
    expect(audio[0]!.packets[0]!.pts + 1024 / 48_000).toBeCloseTo(video[0]!.packets[0]!.pts, 3);
    const { stderr } = await execa('ffmpeg', [
      ...['-nostdin', '-hide_banner', '-copyts', '-i', join(root, 'index.m3u8')],
      ...['-vf', 'blackdetect=d=0.1', '-af', 'silencedetect=d=0.1', '-f', 'null', '-'],
    ]);
    const seen = Number(/black_end:([\d.]+)/.exec(stderr)?.[1]);
    const heard = Number(/silence_end: ([\d.]+)/.exec(stderr)?.[1]);
    expect(seen).toBeCloseTo(12, 1);
    expect(Math.abs(seen - heard)).toBeLessThan(0.03);
    await rm(dirname(file), { recursive: true });
  });
});
