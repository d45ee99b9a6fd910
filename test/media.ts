/** Sources for tests: made with FFmpeg, and real files from a folder that one names. */
import { execa } from 'execa';
import { readdirSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Real media files of the folder that TEST_MEDIA names: tests of them exist only where it is set. */
export function realMedia(): string[] {
  const folder = process.env.TEST_MEDIA;
  if (!folder) return [];
  const names = readdirSync(folder).filter((name) => !name.startsWith('.') && !name.endsWith('.md'));
  if (!names.length) throw new Error(`TEST_MEDIA=${folder} holds no files`);
  return names.map((name) => join(folder, name));
}

/** Runs ffmpeg with the arguments and returns the path of the file it made in a new folder. */
export async function makeMedia(name: string, args: string[]): Promise<string> {
  const path = join(await mkdtemp(join(tmpdir(), 'millrace-media-')), name);
  await execa('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...args, path]);
  return path;
}

/** A small H.264 + AAC clip. */
export const makeClip = (seconds = 3, size = '320x180'): Promise<string> =>
  makeMedia('clip.mp4', [
    ...['-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=25:duration=${seconds}`],
    ...['-f', 'lavfi', '-i', `sine=frequency=440:sample_rate=48000:duration=${seconds}`],
    ...['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-c:a', 'aac', '-shortest'],
  ]);

/** A clip that noise makes large without making it long, with a sound; `options` are those of its encoders. */
export const makeNoisyClip = (
  name: string,
  seconds: number,
  options: string[],
  size = '320x180',
): Promise<string> =>
  makeMedia(name, [
    ...['-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=25:duration=${seconds},noise=alls=60:allf=t`],
    ...['-f', 'lavfi', '-i', `sine=frequency=440:sample_rate=48000:duration=${seconds}`],
    ...['-pix_fmt', 'yuv420p', ...options],
  ]);

/** H.264 with a key frame every 2 s of 25 pictures each, and AAC in stereo: what is taken over as it is. */
export const quickH264 = (bitrate: string): string[] => [
  ...['-c:v', 'libx264', '-preset', 'ultrafast', '-g', '50', '-b:v', bitrate, '-c:a', 'aac', '-ac', '2'],
];

/** Seconds of a file or playlist, as ffprobe sees it. */
export async function durationOf(input: string, options: string[] = []): Promise<number> {
  const { stdout } = await execa('ffprobe', [
    ...['-v', 'error', ...options, '-show_entries', 'format=duration', '-of', 'csv=p=0', input],
  ]);
  return Number(stdout);
}

/**
 * Decodes every stream of all inputs; resolves with what ffmpeg complained of (empty when all is well). In one run: to start it
 * takes longer than to decode a short rendition.
 */
export async function decodeErrors(...inputs: string[]): Promise<string> {
  const { stderr } = await execa('ffmpeg', [
    ...['-nostdin', '-v', 'error', ...inputs.flatMap((input) => ['-i', input])],
    ...[...inputs.flatMap((_, n) => ['-map', String(n)]), '-f', 'null', '-'],
  ]);
  return stderr;
}
