/** The commands that a person would write for what Millrace makes of a 1080p source. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { watch, type Usage } from './resources.ts';

/** Width, height, most bits per second. */
const RUNGS: [number, number, number][] = [
  [1920, 1080, 5_000_000],
  [1280, 720, 2_720_000],
  [854, 480, 1_480_000],
  [640, 360, 960_000],
];
const STORYBOARD = 'fps=1/2,scale=160:90';

const picture = (rate: number): string[] => [
  ...['-c:v', 'libx264', '-preset', 'veryfast', '-profile:v', 'high', '-pix_fmt', 'yuv420p', '-crf', '22'],
  ...['-maxrate', String(rate), '-bufsize', String(rate * 2), '-force_key_frames', 'expr:gte(t,n_forced*2)'],
  ...['-g', '120', '-sc_threshold', '0', '-flags', '+cgop'],
];
const SOUND = ['-c:a', 'aac', '-b:a', '128k'];
const hls = (name: string): string[] => [
  ...['-f', 'hls', '-hls_time', '6', '-hls_playlist_type', 'vod', '-hls_segment_type', 'fmp4'],
  ...[
    '-hls_fmp4_init_filename',
    `${name}-init.mp4`,
    '-hls_segment_filename',
    `${name}-%05d.m4s`,
    `${name}.m3u8`,
  ],
];

/** One process, one decode: every rung, the sound, a poster and the storyboard's pictures. The best that we could write. */
export const best = (source: string): Promise<Usage> => measured([['ffmpeg', ...command(source)]]);

/**
 * The lowest rung by a command of its own, so that all of it can be watched long before the others are there, and these by another.
 * It takes one decode more: what `best` does not give costs as much by hand.
 */
export const lowestFirst = (source: string): Promise<Usage> =>
  measured([
    ['ffmpeg', ...command(source, { rungs: RUNGS.slice(-1), stills: false })],
    ['ffmpeg', ...command(source, { rungs: RUNGS.slice(0, -1), sound: false })],
  ]);

/** The picture and the sound as they are, cut into segments: what can be watched soonest. */
export const segmented = (source: string): Promise<Usage> =>
  measured([
    [
      ...['ffmpeg', '-i', source, '-map', '0:v', '-c', 'copy', ...hls('picture')],
      ...['-map', '0:a', '-c', 'copy', ...hls('sound')],
    ],
  ]);

/** Its bytes once more. */
export const copied = (source: string): Promise<Usage> => measured([['cp', source, 'copy']]);

function command(source: string, { rungs = RUNGS, sound = true, stills = true } = {}): string[] {
  // Each rung is scaled from the next larger one, and the storyboard is taken from the smallest: the cheapest way.
  const graph = rungs.map(([w, h], n) => {
    const from = n ? `[s${n}]scale=${w}:${h}` : `[0:v]scale=${w}:${h},format=yuv420p`;
    if (n < rungs.length - 1) return `${from},split[v${n}][s${n + 1}]`;
    return stills ? `${from},split=3[v${n}][board][still]` : `${from}[v${n}]`;
  });
  return [
    ...[
      '-i',
      source,
      '-filter_complex',
      [...graph, ...(stills ? [`[board]${STORYBOARD}[tiles]`] : [])].join(';'),
    ],
    ...rungs.flatMap(([, h, rate], n) => ['-map', `[v${n}]`, ...picture(rate), ...hls(`v${h}`)]),
    ...(sound ? ['-map', '0:a', ...SOUND, ...hls('sound')] : []),
    ...(stills
      ? ['-map', '[tiles]', 'tile-%04d.jpg', '-map', '[still]', '-frames:v', '1', 'poster.jpg']
      : []),
  ];
}

/**
 * Seconds that two processes of one thread take for a stretch each of a 360p source, one after the other or at once: how much two
 * of a machine's processors do more than one.
 */
export async function twoStretches(
  source: string,
  { starts, seconds, atOnce }: { starts: [number, number]; seconds: number; atOnce: boolean },
): Promise<number> {
  const [, , rate] = RUNGS.at(-1)!;
  const encode = (start: number): Promise<unknown> =>
    execa('ffmpeg', [
      ...[
        '-v',
        'error',
        '-nostdin',
        '-threads',
        '1',
        '-ss',
        String(start),
        '-i',
        source,
        '-t',
        String(seconds),
      ],
      ...['-map', '0:v', '-filter_threads', '1', ...picture(rate), '-threads', '1', '-f', 'null', '-'],
    ]);
  const since = performance.now();
  const first = encode(starts[0]);
  if (!atOnce) await first;
  await Promise.all([first, encode(starts[1])]);
  return (performance.now() - since) / 1000;
}

/** A command for each rung with its sound, one for the poster and one for the storyboard, one after the other. */
export const naive = (source: string): Promise<Usage> =>
  measured([
    ...RUNGS.map(([w, h, rate]) => [
      ...['ffmpeg', '-i', source, '-vf', `scale=${w}:${h}`, ...picture(rate), ...SOUND, ...hls(`v${h}`)],
    ]),
    ['ffmpeg', '-ss', '3', '-i', source, '-frames:v', '1', 'poster.jpg'],
    ['ffmpeg', '-i', source, '-vf', STORYBOARD, 'tile-%04d.jpg'],
  ]);

/** The first word of each is the program. */
async function measured(commands: string[][]): Promise<Usage> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-bench-'));
  const total: Usage = { wall: 0, cpu: 0, peak: 0 };
  try {
    await mkdir(folder, { recursive: true });
    for (const command of commands) {
      const usage = await measureOne(folder, command);
      total.wall += usage.wall;
      total.cpu += usage.cpu;
      total.peak = Math.max(total.peak, usage.peak);
    }
    return total;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Through a shell that outlives the program until it was read what that used. */
async function measureOne(cwd: string, [program = '', ...args]: string[]): Promise<Usage> {
  const quiet = program === 'ffmpeg' ? ['-v', 'error', '-nostdin', '-y'] : [];
  const script = '"$@"; code=$?; echo "ended $code"; read -r _';
  const child = spawn('sh', ['-c', script, 'sh', program, ...quiet, ...args], {
    cwd,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const watched = watch(child.pid ?? 0);
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const usage = watched.end();
  child.stdin.end('\n');
  if (line.toString().trim() !== 'ended 0') throw new Error(`${program}: ${line.toString().trim()}`);
  return usage;
}
