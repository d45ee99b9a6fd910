/** What the beginning of a file tells of the whole. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { boxHeader } from '../../hls/boxes.ts';
import type { Source } from '../../media/source.ts';
import { PROBE_OPTIONS, chooseStreams, describe, parseProbed, toScanOf, type Span } from './describe.ts';
import { scanPackets, type ToScan } from './scan.ts';
import type { StepContext } from '../step.ts';
import { headerSpan, needsScan, withTiming } from './timing.ts';

const MB = 1024 * 1024;
/** What FFmpeg needs of a file without an index to tell its streams. */
const ENOUGH = 4 * MB;
/** A film of ten hours has an index of some 30 MB; a fragment holds seconds. */
const LARGEST = 32 * MB;
/** Boxes of ISO/IEC 14496-12 and QuickTime that may come before the index. */
const BEFORE_INDEX = /^(ftyp|free|skip|wide|uuid|pdin|styp|sidx|emsg)$/;
const TS_PACKET = 188;

/**
 * How many bytes of the file are to be looked at, as far as `head` (its first bytes, 32 or more) says: undefined when
 * it is of no kind that can be read from the front, as an MP4 whose index comes last.
 */
export function headSize(head: Buffer): number | undefined {
  if (head.readUInt32BE(0) === 0x1a45dfa3) return ENOUGH; // EBML: Matroska, WebM
  if (head.toString('latin1', 0, 3) === 'FLV') return ENOUGH;
  const isTs = [0, 1, 2].every((n) => n * TS_PACKET >= head.length || head[n * TS_PACKET] === 0x47);
  return isTs ? ENOUGH : indexEnd(head);
}

/** To behind an MP4's index and some samples: of one in fragments two of them, as each may hold one stream only. */
function indexEnd(head: Buffer): number | undefined {
  let fragments: number | undefined;
  for (let at = 0; at < LARGEST;) {
    if (at + 16 > head.length) return at + 16; // the next box's header
    const { type, size, header } = boxHeader(head, at, Infinity);
    if (size < header) return undefined;
    const end = at + size;
    if (type === 'moov') {
      if (end > head.length) return end > LARGEST ? undefined : end;
      if (!isFragmented(head.subarray(at, end))) return end + ENOUGH;
      fragments = 0;
    } else if (fragments === undefined && !BEFORE_INDEX.test(type)) return undefined;
    else if (type === 'mdat' && fragments !== undefined && ++fragments === 2)
      return Math.min(Math.max(end, ENOUGH), LARGEST);
    at = end;
  }
  return fragments === undefined ? undefined : LARGEST;
}

/** Its index has a movie extends box: samples are described where they are. */
const isFragmented = (bytes: Buffer): boolean => bytes.includes('mvex');

/** What the first bytes of a file say. */
export interface Head {
  /** As `probe` will describe the whole, as far as that can be told. */
  source: Source;
  /** It has an index, which says when streams end. */
  isWhole: boolean;
  /** Streams whose packets the probe of the whole may want to be counted; undefined: it won't. */
  toScan: ToScan | undefined;
}

/** Describes a file by its first bytes. Throws what FFmpeg says when it can't. */
export async function describeHead(
  { ffmpeg, scratch, signal, encoding }: Pick<StepContext, 'ffmpeg' | 'scratch' | 'signal' | 'encoding'>,
  head: Buffer,
  length: number | undefined,
): Promise<Head> {
  const path = join(scratch, 'head');
  await writeFile(path, head);
  const { stdout } = await ffmpeg.probe({ source: path, options: PROBE_OPTIONS, signal, wallMs: 60_000 });
  const probed = parseProbed(stdout);
  const chosen = chooseStreams(probed);
  const toScan = toScanOf(probed, chosen);
  // An index states when streams end; fragments and all other containers only show that of what is here.
  const isWhole = probed.format.format_name.startsWith('mov') && !isFragmented(head);
  const scan = isWhole
    ? undefined
    : await scanPackets(ffmpeg, { source: path }, toScan, { signal, stallMs: encoding.stallMs });
  await rm(path);
  const end = probed.format.duration ?? 0;
  const zero = probed.format.start_time ?? 0;
  const described = describe(probed, chosen, length ?? head.length, (stream): Span => {
    const stated = isWhole ? headerSpan(probed, stream) : undefined;
    return stated ?? { start: (stream.start_time ?? zero) - zero, end };
  });
  const { video } = described;
  const source = { ...described, video: video && withTiming(video, scan?.get(video.index)) };
  return {
    source: isWhole && length && end ? { ...source, bitrate: Math.round((length * 8) / end) } : source,
    isWhole,
    toScan: isWhole && !needsScan(probed, chosen) ? undefined : toScan,
  };
}
