/** Small valid files of a dozen containers and codecs, to be damaged. */
import { execa } from 'execa';
import { join } from 'node:path';

const VIDEO = ['-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=25:duration=1'];
const SOUND = ['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=44100:duration=1'];
const AV = [...VIDEO, ...SOUND, '-pix_fmt', 'yuv420p', '-shortest'];
const X264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-g', '12'];

/** Name -> arguments. */
const SEEDS: Record<string, string[]> = {
  'h264-aac.mp4': [...AV, ...X264, '-c:a', 'aac'],
  'faststart.mp4': [...AV, ...X264, '-c:a', 'aac', '-movflags', '+faststart'],
  'fragmented.mp4': [...AV, ...X264, '-c:a', 'aac', '-movflags', '+frag_keyframe+empty_moov'],
  'mpeg4.mov': [...AV, '-c:v', 'mpeg4', '-c:a', 'pcm_s16le'],
  'h264.mkv': [...AV, ...X264, '-c:a', 'libvorbis', '-ac', '2'],
  'vp8.webm': [...AV, '-c:v', 'libvpx', '-deadline', 'realtime', '-cpu-used', '8', '-c:a', 'libopus'],
  'h264.ts': [...AV, ...X264, '-c:a', 'aac'],
  'mpeg2.mpg': [...AV, '-c:v', 'mpeg2video', '-c:a', 'mp2'],
  'mjpeg.avi': [...AV, '-c:v', 'mjpeg', '-pix_fmt', 'yuvj420p', '-c:a', 'pcm_s16le'],
  'flv1.flv': [...AV, '-c:v', 'flv', '-c:a', 'libmp3lame'],
  'wmv2.asf': [...AV, '-c:v', 'wmv2', '-c:a', 'wmav2', '-f', 'asf'],
  'theora.ogg': [...SOUND, '-c:a', 'libvorbis', '-ac', '2'],
  'sound.mp3': [...SOUND, '-c:a', 'libmp3lame'],
  'sound.flac': [...SOUND, '-c:a', 'flac'],
};

/** Makes all seeds in `dir`; returns their paths. */
export async function makeSeeds(dir: string): Promise<string[]> {
  return Promise.all(
    Object.entries(SEEDS).map(async ([name, args]) => {
      const path = join(dir, name);
      await execa('ffmpeg', ['-v', 'error', '-y', ...args, path]);
      return path;
    }),
  );
}
