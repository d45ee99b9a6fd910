/** Sources to measure with, made by FFmpeg once and kept in the folder for temporary files. */
import { existsSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';

const FOLDER = join(tmpdir(), 'millrace-bench-media');

/** Moving shapes under grain: about as hard to encode as what a camera sees. */
const picture = (seconds: number, size: string): string[] => [
  ...['-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=30:duration=${seconds},noise=alls=14:allf=t`],
  ...['-f', 'lavfi', '-i', `sine=frequency=440:sample_rate=48000:duration=${seconds}`],
];
const SOUND = ['-c:a', 'aac', '-b:a', '128k', '-ac', '2'];
const H264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-b:v', '13M', '-maxrate', '15M', '-bufsize', '15M'];

/** H.264 and AAC with a key frame every two seconds, as phones write it. */
export const phone = (seconds: number, size = '1920x1080'): Promise<string> =>
  make(`phone-${size}-${seconds}.mp4`, [
    ...picture(seconds, size),
    ...[...H264, '-g', '60', '-pix_fmt', 'yuv420p', ...SOUND, '-movflags', '+faststart'],
  ]);

/** HEVC and AAC: nothing that could be copied. 1080p has 9 Mb/s; what is smaller has fewer, as ladders have it. */
export const hevc = (seconds: number, size = '1920x1080'): Promise<string> =>
  make(`hevc-${size}-${bitsOf(size)}-${seconds}.mp4`, [
    ...picture(seconds, size),
    ...[
      '-c:v',
      'libx265',
      '-preset',
      'ultrafast',
      '-x265-params',
      'log-level=error',
      '-b:v',
      String(bitsOf(size)),
    ],
    ...['-tag:v', 'hvc1', '-pix_fmt', 'yuv420p', ...SOUND, '-movflags', '+faststart'],
  ]);

function bitsOf(size: string): number {
  const [width = 0, height = 0] = size.split('x').map(Number);
  return Math.round(9_000_000 * ((width * height) / (1920 * 1080)) ** 0.75);
}

/** `source` so many times over: large files without waiting for an encoder. */
export const repeated = (source: string, times: number): Promise<string> =>
  make(`x${times}-${source.split('/').at(-1)}`, [
    ...['-stream_loop', String(times - 1), '-i', source, '-c', 'copy', '-movflags', '+faststart'],
  ]);

/** The same streams in another container. */
export const remuxed = (source: string, container: 'mkv' | 'ts'): Promise<string> =>
  make(`${source.split('/').at(-1)}.${container}`, ['-i', source, '-c', 'copy']);

async function make(name: string, args: string[]): Promise<string> {
  const path = join(FOLDER, name);
  if (existsSync(path)) return path;
  await mkdir(FOLDER, { recursive: true });
  const unfinished = join(FOLDER, `unfinished-${name}`);
  await execa('ffmpeg', ['-v', 'error', '-y', ...args, unfinished]);
  await rename(unfinished, path);
  return path;
}
