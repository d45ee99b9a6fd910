/** Runs ffmpeg and ffprobe: confined, watched, and ended whenever they must end. The only place that starts them. */
import type { Config } from '../../config.ts';
import { COMMON_FLAGS, inputFlags, outputFlags, pipeFlags } from './flags.ts';
import { progressReader, type FfmpegProgress } from './progress.ts';
import { confine, detectConfinement, type Confinement, type SandboxKind, type View } from './sandbox.ts';
import { spawnTool, type Limits, type Watched } from './spawn.ts';

export interface FfmpegOutput {
  options: readonly string[];
  path: string;
  /** It is to have subtitles: usually they are left out. */
  subtitles?: boolean;
}

/**
 * The patience for a run that goes on without showing it: it writes a single picture, sparse subtitles, or an index at
 * its end.
 */
export const QUIET = 5;

export interface FfmpegRun extends Omit<Limits, 'stallMs'> {
  /** Stall times (`STALL_TIMEOUT`) without progress after which it is killed; one, unless it is said. */
  patience?: number;
  /** Local path of the input. */
  source?: string;
  /** The input instead of a file, as it comes: waiting for it is no stall. */
  stdin?: AsyncIterable<Buffer>;
  /** Where relative output paths lead, and the only folder FFmpeg may write. */
  scratch: string;
  /** Options before the input, e.g. a seek. */
  inputOptions?: readonly string[];
  /** Options of all inputs and outputs, e.g. a filter graph. */
  globalOptions?: readonly string[];
  /** Options and path of each output. Paths are ours and relative; guards are added. */
  outputs: readonly FfmpegOutput[];
  /** Further inputs after the source: files in `scratch`, by their names. */
  moreSources?: readonly string[];
  /** Bytes that one output file may have, where the usual limit is too small. */
  fileSize?: number;
  /** Gives way to all other runs. */
  background?: boolean | undefined;
  onProgress?: (progress: FfmpegProgress) => void;
  /** Takes standard output line by line, in place of the returned text: for filters that print. */
  onLine?: (line: string) => void;
}

export interface FfprobeRun extends Limits {
  /** Local path of the input. */
  source?: string;
  /** The input instead of a file, as it comes. */
  stdin?: AsyncIterable<Buffer>;
  options: readonly string[];
  /** Takes standard output line by line, in place of the returned text: for output without bounds. */
  onLine?: (line: string) => void;
}

export interface Ran {
  stdout: string;
  /** The last lines of stderr. */
  log: string;
}

/** FFmpeg as this process may use it. Every run throws `ToolError` unless it exits with 0. */
export interface Ffmpeg {
  encode(run: FfmpegRun): Promise<Ran>;
  probe(run: FfprobeRun): Promise<Ran>;
  /** Names of all encoders that it was built with; found out once. Throws when it doesn't run. */
  encoders(): Promise<ReadonlySet<string>>;
  /** As `ffmpeg -version` says it, asked once a minute. Throws when it doesn't run. */
  version(): Promise<string>;
  /** How runs are confined; found out once. */
  sandbox(): Promise<SandboxKind>;
}

/** Health checks come every few seconds; starting FFmpeg for each would be a way to keep us busy. */
const VERSION_FRESH_MS = 60_000;

/** Opens FFmpeg: nothing is started before the first run. */
export function createFfmpeg(encoding: Config['encoding']): Ffmpeg {
  let found: Promise<Confinement> | undefined;
  let encoders: Promise<ReadonlySet<string>> | undefined;
  let seen: { version: string; until: number } | undefined;
  const confinement = (): Promise<Confinement> => (found ??= detectConfinement(encoding));
  const run = async (
    tool: string,
    args: (source: string) => string[],
    view: Omit<View, 'wallMs'>,
    limits: Watched,
  ) => spawnTool(await confine(await confinement(), tool, args, { ...view, wallMs: limits.wallMs }), limits);

  return {
    encode: (options) =>
      run(encoding.ffmpegPath, (source) => encodeArgs(encoding, source, options), options, {
        ...options,
        stallMs: encoding.stallMs * (options.patience ?? 1),
        onStdoutLine: options.onLine,
        ...(options.onProgress ? { onProgressLine: progressReader(options.onProgress) } : {}),
      }),
    probe: ({ source, options, onLine, ...limits }) =>
      run(
        encoding.ffprobePath,
        (path) => [
          ...[...COMMON_FLAGS, ...options],
          ...(limits.stdin ? pipeFlags(encoding) : inputFlags(encoding, path)),
        ],
        { prompt: true, ...(source === undefined ? {} : { source }) },
        { ...limits, onStdoutLine: onLine },
      ),
    encoders: () => {
      encoders ??= run(encoding.ffmpegPath, () => ['-hide_banner', '-encoders'], {}, { wallMs: 10_000 })
        .then(
          ({ stdout }) => new Set([...stdout.matchAll(/^ [A-Z.]{6} (\w+)/gm)].map(([, name = '']) => name)),
        )
        .catch((error: unknown) => {
          encoders = undefined;
          throw error;
        });
      return encoders;
    },
    version: async () => {
      if (seen && seen.until > Date.now()) return seen.version;
      const { stdout } = await run(encoding.ffmpegPath, () => ['-version'], {}, { wallMs: 10_000 });
      const version = /^ffmpeg version (\S+)/.exec(stdout)?.[1] ?? 'unknown';
      seen = { version, until: Date.now() + VERSION_FRESH_MS };
      return version;
    },
    sandbox: async () => (await confinement()).kind,
  };
}

function encodeArgs(encoding: Config['encoding'], source: string, run: FfmpegRun): string[] {
  return [
    ...COMMON_FLAGS,
    ...['-nostdin', '-nostats', '-progress', 'pipe:3', '-stats_period', '0.5', '-y'],
    ...(run.inputOptions ?? []),
    ...(run.stdin ? pipeFlags(encoding) : inputFlags(encoding, source)),
    ...(run.moreSources ?? []).flatMap((path) => inputFlags(encoding, path)),
    ...(run.globalOptions ?? []),
    ...run.outputs.flatMap((output) => [...outputFlags(encoding, output), ...output.options, output.path]),
  ];
}
