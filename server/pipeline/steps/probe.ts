/** Finds out what was uploaded, and refuses what can't become playable with a sentence that says why. */
import { stat } from 'node:fs/promises';
import ms from 'ms';
import type { Commit } from '../../jobs/job.ts';
import type { Source } from '../../media/source.ts';
import {
  PROBE_OPTIONS,
  chooseStreams,
  describe,
  parseProbed,
  toScanOf,
  type Chosen,
  type Probed,
  type ProbedStream,
  type Span,
} from '../source/describe.ts';
import { encodeFailure, refuse } from '../failures.ts';
import { scanPackets, type StreamScan, type ToScan } from '../source/scan.ts';
import { readHead, sniff } from '../source/sniff.ts';
import { ToolError } from '../ffmpeg/spawn.ts';
import type { Step, StepContext } from '../step.ts';
import { headerSpan, longestHole, needsScan, scannedSpan, withTiming } from '../source/timing.ts';
import { missingBytes } from '../source/truncation.ts';

export const probeStep: Step = {
  name: 'probe',
  priority: 30,
  required: true,
  done: ({ source }) => source !== undefined,
  // Who works on an upload while it arrives looks at the whole as well, and sooner.
  due: ({ early }) => !early,
  async run(ctx) {
    ctx.progress({ percent: 0, stage: 'Looking at the file' });
    const source = await probe(ctx, await ctx.sourcePath());
    return found(ctx, source);
  },
};

/** Commits what a probe found. */
export const found =
  ({ media }: Pick<StepContext, 'media'>, source: Source): Commit =>
  async (trx) => {
    await trx
      .updateTable('media')
      .set({ source: JSON.stringify(source), updatedAt: Date.now() })
      .where('id', '=', media.id)
      .where('attempt', '=', media.attempt)
      .execute();
  };

/** A file that lacks more than this part of what it promises is not worth publishing. */
const TOLERATED_LOSS = 0.1;
/** Seconds without sound or picture that nobody records on purpose. */
const LONGEST_HOLE = 600;
/** Containers whose header states a duration, in place of one that FFmpeg estimates. */
const STATES_DURATION = /^(matroska|avi|flv|asf|flac|mov)/;

/** What is known of the packets of these streams without reading them again; undefined: nothing. */
export type KnownScan = (toScan: ToScan) => Promise<Map<number, StreamScan> | undefined>;

/** Describes the file. Throws a permanent `JobError` for what is refused. */
export async function probe(
  ctx: Pick<StepContext, 'ffmpeg' | 'encoding' | 'signal'>,
  path: string,
  known?: KnownScan,
): Promise<Source> {
  const { size } = await stat(path);
  const present = await refuseByBytes(path, size);
  const { probed, log } = await readHeader(ctx, path, present);
  const chosen = chooseStreams(probed);
  refuseByStreams(ctx, chosen, log);
  const scan = needsScan(probed, chosen)
    ? await scanStreams(ctx, path, toScanOf(probed, chosen), known)
    : undefined;
  return measure(ctx, probed, chosen, size, scan);
}

/** Answers which part of the file is there, as far as it says how long it is. */
async function refuseByBytes(path: string, size: number): Promise<number> {
  if (size === 0) throw refuse('empty_file', 'The file is empty. Upload one that has something in it.');
  const head = await readHead(path);
  const other = sniff(head);
  if (other) throw refuse('not_media', `This is ${other}, not a video or sound file.`);
  const isMp4 = /^(ftyp|moov|mdat|free|skip|wide|pnot)$/.test(head.toString('latin1', 4, 8));
  const missing = isMp4 ? await missingBytes(path, size) : 0;
  const present = size / (size + missing);
  if (1 - present > TOLERATED_LOSS) throw truncated(present);
  return present;
}

const truncated = (part: number): Error =>
  refuse(
    'truncated',
    `The file ends too early: only ${Math.floor(part * 100)} % of it are there. Check the original and upload it again.`,
  );

async function readHeader(
  { ffmpeg, signal }: Pick<StepContext, 'ffmpeg' | 'signal'>,
  source: string,
  present: number,
): Promise<{ probed: Probed; log: string }> {
  try {
    const { stdout, log } = await ffmpeg.probe({ source, options: PROBE_OPTIONS, signal, wallMs: 60_000 });
    return { probed: parseProbed(stdout), log };
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
    if (error.end === 'overflow')
      throw refuse('unsupported_format', 'The file has thousands of streams. Keep the ones you need.');
    if (error.end !== 'exit') throw encodeFailure(error);
    if (/moov atom not found/.test(error.log))
      throw refuse(
        'truncated',
        'The end of the file is missing, with the index that players need. Upload the whole file again.',
        error.log,
      );
    if (present < 1) throw truncated(present); // of its index, which comes last
    throw refuse(
      'not_media',
      'This is not a video or sound file, or it is of a kind this server does not know. MP4, MOV, MKV, WebM, MP3 and many others work.',
      error.log,
    );
  }
}

function refuseByStreams(
  { encoding }: Pick<StepContext, 'encoding'>,
  { video, audio, unusable }: Chosen,
  log: string,
): void {
  const pixels = (video?.width ?? 0) * (video?.height ?? 0);
  // FFmpeg gives a picture that it refused to open no size.
  if (pixels > encoding.maxPixels || (!video && /exceeds specified max pixel count/.test(log)))
    throw refuse(
      'too_large_picture',
      `Its picture has more than the ${encoding.maxPixels} pixels that are accepted here. Scale it down first.`,
    );
  if (video || audio.length) return;
  if (!unusable.length) throw refuse('no_streams', 'There is neither sound nor video in this file.');
  const names = [...new Set(unusable.map((s) => s.codec_name ?? s.codec_tag_string ?? 'unknown'))].join(', ');
  throw refuse(
    'unsupported_codec',
    `Its sound and video are encrypted or stored in a way this server can not decode (${names}). Convert the file, e.g. to H.264 MP4 without copy protection.`,
  );
}

async function scanStreams(
  { ffmpeg, encoding, signal }: Pick<StepContext, 'ffmpeg' | 'encoding' | 'signal'>,
  path: string,
  toScan: ToScan,
  known?: KnownScan,
): Promise<Map<number, StreamScan>> {
  try {
    return (
      (await known?.(toScan)) ??
      (await scanPackets(ffmpeg, { source: path }, toScan, { signal, stallMs: encoding.stallMs }))
    );
  } catch (error) {
    throw encodeFailure(error);
  }
}

function measure(
  { encoding }: Pick<StepContext, 'encoding'>,
  probed: Probed,
  chosen: Chosen,
  size: number,
  scan: Map<number, StreamScan> | undefined,
): Source {
  const filled = scan ? withPackets(chosen, scan) : chosen;
  const whole: Span = { start: 0, end: probed.format.duration ?? 0 };
  const spanOf = (stream: ProbedStream): Span | undefined => {
    const packets = scan?.get(stream.index);
    return packets ? scannedSpan(probed, packets) : headerSpan(probed, stream);
  };
  const source = describe(probed, filled, size, (stream) => spanOf(stream) ?? whole);
  if (source.duration <= 0) throw truncated(0);
  // The last subtitle may be shown for longer than the film lasts; the header's duration counts it.
  const reached = Math.max(source.duration, ...chosen.subtitles.map((s) => spanOf(s)?.end ?? 0));
  refuseShortened(probed, reached);
  refuseByTime(encoding.maxDurationMs, source.duration, filled, scan);
  return { ...source, video: source.video && withTiming(source.video, scan?.get(source.video.index)) };
}

/** The streams that have packets: a header may announce what never comes. */
const withPackets = (chosen: Chosen, scan: Map<number, StreamScan>): Chosen => ({
  ...chosen,
  video: chosen.video && scan.has(chosen.video.index) ? chosen.video : undefined,
  audio: chosen.audio.filter((s) => scan.has(s.index)),
});

/** What was cut out of a longer recording may begin late by its clock, and state when it ends by that. */
function refuseShortened({ format }: Probed, lasting: number): void {
  const promised = STATES_DURATION.test(format.format_name) ? (format.duration ?? 0) : 0;
  const reached = lasting + Math.max(0, format.start_time ?? 0);
  if (reached < promised * (1 - TOLERATED_LOSS)) throw truncated(reached / promised);
}

function refuseByTime(
  maxDurationMs: number,
  duration: number,
  { video, audio }: Chosen,
  scan: Map<number, StreamScan> | undefined,
): void {
  const hole = scan
    ? longestHole(
        duration,
        video && scan.get(video.index),
        audio.flatMap((s) => scan.get(s.index) ?? []),
      )
    : 0;
  if (hole > LONGEST_HOLE)
    throw refuse(
      'broken_timestamps',
      `For ${inWords(hole)} there is neither sound nor picture: the file's clock is broken. Convert the file and upload it again.`,
    );
  if (duration * 1000 > maxDurationMs)
    throw refuse(
      'too_long',
      `It lasts ${inWords(duration)}; at most ${inWords(maxDurationMs / 1000)} are accepted here.`,
    );
}

const inWords = (seconds: number): string => ms(Math.round(seconds) * 1000, { long: true });
