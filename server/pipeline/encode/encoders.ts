/** The encoders of the picture: what FFmpeg is told so that all of them cut alike. Pure. */
import type { Config } from '../../config.ts';
import type { Codec } from '../../encoding-config.ts';
import type { Rung } from './ladder.ts';

export interface Encoder {
  /** As `ffmpeg -encoders` lists it. */
  name: string;
  /** Bits per second that it may use, of each that H.264 may. */
  share: number;
  /** Bytes of memory per pixel of one picture, for all rungs of an encode with two threads. */
  memory: number;
  /** The same for each thread more, measured with up to 16. */
  memoryOfThread: number;
  /** Pixels of the shortest side that it takes. */
  shortest: number;
  /**
   * What chooses the quality, apart from rates: with closed groups of pictures that only begin where they are forced to. Their
   * header must not depend on `threads` (0: one for each core), or parts of several workers don't fit together.
   */
  options(preset: string, threads: number): string[];
}

/** x265 takes two to six by itself on 4 to 64 cores; 16 take half as much memory again as 4, and are no faster. */
const FRAMES_AT_ONCE = 4;

/**
 * Constant quality below a ceiling. 12 s of film at 480p from the same source, with SSIM and processor time: H.264 939 kB,
 * 18.9 dB, 3.4 s; HEVC 645 kB, 19.0 dB, 10.7 s; AV1 513 kB, 19.1 dB, 8.0 s. So a better codec has the same quality in fewer bits.
 */
export const ENCODERS: Record<Codec, Encoder> = {
  h264: {
    ...{ name: 'libx264', share: 1, memory: 110, memoryOfThread: 13, shortest: 2 },
    options: (preset, threads) => [
      ...['-preset', preset, '-profile:v', 'high', '-crf', '22', '-sc_threshold', '0', '-flags', '+cgop'],
      ...(threads ? ['-threads', String(threads)] : []),
    ],
  },
  hevc: {
    ...{ name: 'libx265', share: 0.7, memory: 210, memoryOfThread: 6, shortest: 16 },
    // `hvc1`: parameter sets stand in the initialization segment alone, as Apple's players demand.
    options: (preset, threads) => [
      ...['-preset', preset, '-profile:v', 'main', '-crf', '24', '-tag:v', 'hvc1', '-forced-idr', '1'],
      '-x265-params',
      [
        'log-level=error:info=0:open-gop=0:scenecut=0:min-keyint=1',
        ...(threads ? [`pools=${threads}`] : []),
      ].join(':'),
      // Of this library: pictures at once, which many threads share.
      ...(threads ? ['-threads', String(Math.min(threads, FRAMES_AT_ONCE))] : []),
    ],
  },
  av1: {
    ...{ name: 'libsvtav1', share: 0.6, memory: 270, memoryOfThread: 2, shortest: 64 },
    options: (preset, threads) => [
      ...['-preset', preset, '-crf', '38', '-svtav1-params'],
      ['enable-force-key-frames=1', ...(threads ? [`lp=${threads}`] : [])].join(':'),
    ],
  },
};

/** Codecs that come after H.264, where an installation wants them. */
export type BetterCodec = Exclude<Codec, 'h264'>;

/**
 * The same sizes in a better codec. All of them: players choose one codec and stay with it, so each needs its small rungs
 * for slow connections. Those that its encoder can't make are left out.
 */
export function rungsAs(codec: BetterCodec, rungs: readonly Rung[]): Rung[] {
  const { share, shortest } = ENCODERS[codec];
  return rungs
    .filter(({ width, height }) => Math.min(width, height) >= shortest)
    .map((rung) => ({
      ...rung,
      name: `${rung.name}-${codec}`,
      maxRate: Math.round(rung.maxRate * share),
      bufferSize: Math.round(rung.bufferSize * share),
    }));
}

/** The presets that an installation has chosen. */
export type Presets = Config['encoding']['presets'];
