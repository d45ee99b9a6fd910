/** The settings of the pipeline: sizes in bytes, times in milliseconds unless it is said otherwise. */
import { availableParallelism, tmpdir } from 'node:os';
import { resolve } from 'node:path';
import type { Env } from './config.ts';

/** What pictures are encoded in. Every player has the first. */
export const CODECS = ['h264', 'hevc', 'av1'] as const;
export type Codec = (typeof CODECS)[number];

/** `dataDir`: where scratch folders are unless SCRATCH_DIR or S3 says otherwise. */
export const encodingConfig = (env: Env, dataDir: string) => ({
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
  /** Of an FFmpeg process; 0: one for each core. */
  threads: env.FFMPEG_THREADS,
  /** Of one that encodes a chunk, at least: as many of them run at once as there are jobs. */
  chunkThreads:
    env.FFMPEG_THREADS || Math.max(1, Math.floor(availableParallelism() / env.WORKER_CONCURRENCY)),
  processors: availableParallelism(),
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
