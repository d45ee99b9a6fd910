/** FFmpeg commands of streams: one decode, every rung and every sound; or no decode at all. Pure. */
import type { Config } from '../../config.ts';
import type { Codec } from '../../encoding-config.ts';
import { SEGMENT_SECONDS } from '../../hls/media-playlist.ts';
import { TIME_OFFSET } from '../../hls/time.ts';
import type { Source, SourceAudio, SourceVideo } from '../../media/source.ts';
import { rangeFilter, seekOptions, seekTime, type Chunk } from '../parts/chunks.ts';
import { FIRST_SECONDS, KEY_FRAME_SECONDS, KEY_FRAME_TIMES } from './cuts.ts';
import { ENCODERS } from './encoders.ts';
import { evenPictures, plainPicture, plainSound, scaled } from './filters.ts';
import { frameRate as constantRate, timescale, type FrameRate, type Rung } from './ladder.ts';

/**
 * Seconds after which FFmpeg begins a piece at the next key frame: at each of ours, also where the first one of a chunk came late, and
 * at enough of a source's own to make segments of the right length of them. Sounds have one anywhere. FFmpeg writes its list of pieces
 * anew for each, which for two hours of sound in pieces of a second takes longer than to copy it: the shorter ones are for
 * what comes beside an encoder of pictures.
 */
const PIECE_SECONDS = {
  picture: FIRST_SECONDS,
  copiedPicture: 1,
  soundOfPicture: 1,
  sound: KEY_FRAME_SECONDS,
} as const;

/** Seconds that the pieces of a copied picture have at least. */
export const COPIED_PIECE_SECONDS = PIECE_SECONDS.copiedPicture;
const AUDIO_BITRATE = 128_000;

export interface Output {
  options: string[];
  path: string;
}

export interface PlannedVideo {
  name: string;
  width: number;
  height: number;
  frameRate: number;
  /** Bits per second, until it can be measured. */
  maxRate: number;
}

export interface PlannedAudio {
  name: string;
  source: SourceAudio;
  maxRate: number;
}

/** Each rendition gets a folder of its name below `root`, with init.mp4, pieces and FFmpeg's index.m3u8. */
export interface StreamPlan {
  root: string;
  inputOptions: string[];
  globalOptions: string[];
  outputs: Output[];
  video: PlannedVideo[];
  audio: PlannedAudio[];
  /** Pictures are cut where the source has its key frames. */
  free?: boolean;
}

const ROOT = 'hls';

/** What a job encodes. */
export interface Wanted {
  /** The largest first; empty without video. */
  rungs: readonly Rung[];
  rate: FrameRate;
  /** With every sound. */
  audio: boolean;
  /** Of the picture; H.264 unless it is said. */
  codec?: Codec | undefined;
  /** Of the picture, only this stretch. */
  chunk?: Chunk;
}

/** RFC 6381, of the sounds we encode. */
export const AAC_LC = 'mp4a.40.2';

type Settings = Pick<Config['encoding'], 'presets' | 'threads'>;

/** Plans to encode rungs, and every sound. */
export function planEncode(source: Source, wanted: Wanted, settings: Settings): StreamPlan {
  const { rungs, rate, chunk } = wanted;
  const audio = wanted.audio ? source.audio.map(plannedAudio) : [];
  // A sound of its own lasts as long as it lasts; silence is only added beside a picture.
  const soundDuration = source.video ? source.duration : undefined;
  const soundPieces = { seconds: source.video ? PIECE_SECONDS.soundOfPicture : PIECE_SECONDS.sound };
  return {
    root: ROOT,
    // Calls and broadcasts change their size on the way: the scaler takes that, a new graph would start at time 0.
    inputOptions: [
      ...(source.video ? [`-reinit_filter:${source.video.index}`, '0'] : []),
      ...threads(settings),
      ...(chunk ? seekOptions(chunk, rate) : []),
    ],
    globalOptions:
      source.video && rungs.length
        ? [
            ...(settings.threads ? ['-filter_complex_threads', String(settings.threads)] : []),
            ...['-filter_complex', pictureGraph(source, source.video, wanted)],
          ]
        : [],
    outputs: [
      ...rungs.map((rung, n) => {
        const options = picture(rung, n, wanted, settings);
        return hlsOutput(rung.name, options, { seconds: PIECE_SECONDS.picture, ticks: timescale(rate) });
      }),
      ...audio.map(({ name, source: track }) => hlsOutput(name, sound(track, soundDuration), soundPieces)),
    ],
    video: rungs.map(({ name, width, height, maxRate }) => ({
      ...{ name, width, height, maxRate },
      frameRate: Math.round(rate.value * 1000) / 1000,
    })),
    audio,
  };
}

/**
 * Plans to cut the source's own picture at its key frames; sounds are taken over as they are where that is possible.
 * With `shortPieces` it is cut finely, to be joined to segments of the right length.
 */
export function planCopy(
  source: Source,
  video: SourceVideo,
  keepsSound: (a: SourceAudio) => boolean,
  shortPieces: boolean,
): StreamPlan {
  const { width, height, frameRate } = video;
  const name = `v${Math.min(width, height)}`;
  const audio = source.audio.map(plannedAudio);
  const soundOf = (track: SourceAudio): string[] =>
    keepsSound(track) ? ['-map', `0:${track.index}`, '-c:a', 'copy'] : sound(track, source.duration);
  return {
    root: ROOT,
    inputOptions: [],
    globalOptions: [],
    outputs: [
      hlsOutput(name, ['-map', `0:${video.index}`, '-c:v', 'copy'], {
        seconds: shortPieces ? PIECE_SECONDS.copiedPicture : SEGMENT_SECONDS,
        ticks: timescale(constantRate(video)),
      }),
      ...audio.map((a) => hlsOutput(a.name, soundOf(a.source), { seconds: PIECE_SECONDS.sound })),
    ],
    video: [{ name, width, height, frameRate, maxRate: source.bitrate ?? 0 }],
    audio,
    free: true,
  };
}

const plannedAudio = (source: SourceAudio, n: number): PlannedAudio => ({
  name: `a${n}`,
  source,
  maxRate: AUDIO_BITRATE * 1.1,
});

/**
 * `[0:0]…,split[v0][s1];[s1]scale=…,split[v1][s2];[s2]scale=…[v2]`: the source is made plain once, and each rung is scaled from
 * the next larger one. Of a ladder from 1080p that saves a twentieth of all processor time. Against Lanczos from the source the
 * smallest rung has an SSIM of 28 to 31 dB in place of 30 to 33; the encoder leaves 19.
 */
function pictureGraph(source: Source, video: SourceVideo, { rungs, rate, chunk }: Wanted): string {
  const [top, ...smaller] = rungs;
  if (!top) throw new Error('a ladder has at least one rung');
  const even = evenPictures(video, rate.text, source.duration, chunk && seekTime(chunk, rate));
  // Only the last chunk is held until the sound ends.
  const range = chunk
    ? [...(chunk.endFrame === undefined ? even : even.slice(0, 1)), rangeFilter(chunk)]
    : even;
  const pads = (n: number): string => (n < smaller.length ? `,split[v${n}][s${n + 1}]` : `[v${n}]`);
  return [
    `[0:${video.index}]${[...plainPicture(video, top), ...range].join(',')}${pads(0)}`,
    ...smaller.map((rung, n) => `[s${n + 1}]${scaled(rung)},setsar=1${pads(n + 1)}`),
  ].join(';');
}

/** Closed groups of pictures that begin at the same times on all rungs and in all codecs, whatever the rate. */
function picture(
  rung: Rung,
  n: number,
  { rate, chunk, codec = 'h264' }: Wanted,
  settings: Settings,
): string[] {
  const encoder = ENCODERS[codec];
  const everything = Math.ceil(rate.value * KEY_FRAME_SECONDS) * 2; // never reached: key frames go by time
  return [
    ...['-map', `[v${n}]`, '-c:v', encoder.name, '-pix_fmt', 'yuv420p'],
    ...encoder.options(settings.presets[codec], settings.threads),
    ...['-maxrate', String(rung.maxRate), '-bufsize', String(rung.bufferSize)],
    // FFmpeg counts `t` from the first frame, key frames of chunks by the time in the whole.
    ...['-force_key_frames', `expr:gte(t,${keyFrameTimes(chunk)})`],
    ...['-g', String(everything), '-fps_mode', 'passthrough'],
  ];
}

/** Seconds from the first frame. A chunk that begins later has none of the first, short segments. */
const keyFrameTimes = (chunk: Chunk | undefined): string =>
  chunk?.start ? `n_forced*${KEY_FRAME_SECONDS}-${chunk.lateness.toFixed(9)}` : KEY_FRAME_TIMES;

const threads = ({ threads: count }: Settings): string[] => (count ? ['-threads', String(count)] : []);

const sound = (audio: SourceAudio, duration: number | undefined): string[] => [
  ...['-map', `0:${audio.index}`, '-af', plainSound(audio, duration).join(',')],
  ...['-c:a', 'aac', '-b:a', String(AUDIO_BITRATE)],
];

/**
 * CMAF pieces, which can be read as soon as index.m3u8 names them. The encoder's priming samples lie before time 0,
 * where FFmpeg would shift them to 0 and play the sound 21 to 45 ms early. So every output starts at 10 s and writes
 * its true time stamps (frag_discont).
 */
function hlsOutput(
  name: string,
  options: string[],
  { seconds, ticks }: { seconds: number; ticks?: number },
): Output {
  const folder = `${ROOT}/${name}`;
  const segment = ['movflags=+frag_discont', ...(ticks ? [`video_track_timescale=${ticks}`] : [])].join(':');
  return {
    options: [
      ...options,
      ...['-output_ts_offset', String(TIME_OFFSET), '-f', 'hls', '-hls_time', String(seconds)],
      ...['-hls_playlist_type', 'event', '-hls_segment_type', 'fmp4', '-hls_fmp4_init_filename', 'init.mp4'],
      ...['-hls_segment_options', segment, '-hls_flags', 'temp_file', '-start_number', '1'],
      ...['-hls_segment_filename', `${folder}/%05d.m4s`],
    ],
    path: `${folder}/index.m3u8`,
  };
}
