/** The settings of the pipeline: sizes in bytes, times in milliseconds unless it is said otherwise. */
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import type { Env } from './config.ts';
import { processors } from './machine/processors.ts';

/** What pictures are encoded in. Every player has the first. */
export const CODECS = ['h264', 'hevc', 'av1'] as const;
export type Codec = (typeof CODECS)[number];

/** `dataDir`: where scratch folders are unless SCRATCH_DIR or S3 says otherwise. */
export const encodingConfig = (env: Env, dataDir: string) => ({
  ...threadsConfig(env),
  concurrency: env.WORKER_CONCURRENCY,
  scratchDir: resolve(
    env.SCRATCH_DIR ??
      (env.STORAGE === 's3' ? resolve(tmpdir(), 'millrace-scratch') : resolve(dataDir, 'scratch')),
  ),
  ffmpegPath: env.FFMPEG_PATH,
  ffprobePath: env.FFPROBE_PATH,
  ladder: env.LADDER.map(Number).sort((a, b) => b - a),
  maxDurationMs: env.MAX_DURATION,
  maxPixels: env.MAX_PIXELS,
  codecs: env.CODECS,
  presets: { h264: env.X264_PRESET, hevc: env.X265_PRESET, av1: String(env.SVTAV1_PRESET) },
  keepCopy: env.KEEP_COPY,
  /** The lowest rung is encoded before the others, where viewers would have to wait for those. */
  playSoon: env.PLAY_SOON,
  /** Seconds; 0: nothing is cut into chunks. */
  longestChunk: env.CHUNK_SECONDS,
  wanted: {
    storyboard: env.STORYBOARD,
    waveform: env.WAVEFORM,
    subtitles: env.SUBTITLES,
    mp4: env.DOWNLOAD_MP4,
    m4a: env.DOWNLOAD_M4A,
  },
  memoryLimit: env.FFMPEG_MEMORY,
  sandbox: env.SANDBOX,
  /** Uploads are worked on while they arrive, until they are silent for `idleMs`. */
  early: {
    on: env.EARLY,
    minSize: env.EARLY_MIN_SIZE,
    concurrency: env.EARLY_CONCURRENCY,
    idleMs: env.EARLY_IDLE_TIMEOUT,
  },
  keepSourceMs: env.KEEP_SOURCE,
  stallMs: env.STALL_TIMEOUT,
  scratchFloor: env.SCRATCH_FLOOR,
  memoryFloor: env.MEMORY_FLOOR,
});

/**
 * Threads of one FFmpeg, unless it is told: each keeps pictures of its own (x264's ladder from 1080p takes 0.5 GB with 2 of
 * them, 1.1 with 16 and 4 with 64), and many gain little. Larger machines do more jobs at once.
 */
export const MOST_THREADS = 16;

function threadsConfig({ FFMPEG_THREADS: wanted, WORKER_CONCURRENCY: atOnce }: Env) {
  const { count, isLimited } = processors();
  const most = Math.min(count, MOST_THREADS);
  return {
    processors: count,
    /** Of an FFmpeg that encodes a whole; 0: one for each core, as it counts them. */
    threads: wanted || (isLimited || count > MOST_THREADS ? most : 0),
    /** The same, or what FFmpeg will count. */
    mostThreads: wanted || most,
    /** Of one that encodes a chunk; 0: as many as it takes. */
    partThreads: wanted,
    /** Of that, at least: as many of them run at once as there are jobs. */
    chunkThreads: wanted || Math.max(1, Math.min(most, Math.floor(count / atOnce))),
  };
}
