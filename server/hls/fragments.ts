/** Movie fragments (ISO/IEC 14496-12, 8.8) in the bytes of CMAF segments: where key frames lie, and joining. */
import { boxHeader, findBoxes } from './boxes.ts';

export interface Fragment {
  /** Where its `moof` begins. */
  offset: number;
  /** Bytes from there to the end of its first sample. */
  firstSampleBytes: number;
  /** Where its first sample begins, from the start of the `moof`. */
  sampleOffset: number;
  /** Bytes of each of its samples, which stand one after the other. */
  sampleSizes: number[];
  /** The first sample decodes without others. */
  startsWithSync: boolean;
  /** Base media decode time (`tfdt`), in the track's time scale. */
  decodeTime: number;
  /** When the first of its samples is shown, and the last one's time ends, in the track's time scale. */
  shown: { from: number; to: number };
}

/** sample_is_non_sync_sample in the sample flags of 8.8.3.1. */
const NON_SYNC = 0x10000;

/**
 * The fragments in `bytes`, which may end anywhere in the last `mdat`. One track; data offsets are from the `moof`,
 * as CMAF (ISO/IEC 23000-19, 7.5.16) demands.
 */
export function readFragments(bytes: Buffer): Fragment[] {
  return topBoxes(bytes)
    .filter(({ type, offset, size }) => type === 'moof' && offset + size <= bytes.length)
    .map(({ offset, size, header }) => fragment(bytes.subarray(offset + header, offset + size), offset));
}

function fragment(moof: Buffer, offset: number): Fragment {
  const [tfhd] = findBoxes(moof, 'traf/tfhd');
  const [tfdt] = findBoxes(moof, 'traf/tfdt');
  const [trun] = findBoxes(moof, 'traf/trun');
  if (!tfhd || !tfdt || !trun) throw new RangeError('a moof without tfhd, tfdt or trun');
  const defaults = trackDefaults(tfhd.body);
  const { dataOffset, samples } = readRun(trun.body, defaults);
  const [first] = samples;
  if (!first) throw new RangeError('a moof without samples');
  const decodeTime = tfdt.body[0] === 1 ? Number(tfdt.body.readBigUInt64BE(4)) : tfdt.body.readUInt32BE(4);
  return {
    offset,
    sampleOffset: dataOffset,
    firstSampleBytes: dataOffset + first.size,
    sampleSizes: samples.map(({ size }) => size),
    startsWithSync: (first.flags & NON_SYNC) === 0,
    decodeTime,
    shown: shownTimes(samples, decodeTime),
  };
}

/** Samples stand in the order of decoding; each is shown its composition offset later. */
function shownTimes(samples: readonly Sample[], decodeTime: number): Fragment['shown'] {
  let [from, to, time] = [Infinity, -Infinity, decodeTime];
  for (const { duration, compositionOffset } of samples) {
    from = Math.min(from, time + compositionOffset);
    to = Math.max(to, time + compositionOffset + duration);
    time += duration;
  }
  return { from, to };
}

interface Sample {
  duration: number;
  size: number;
  flags: number;
  compositionOffset: number;
}
type Defaults = Omit<Sample, 'compositionOffset'>;

/** TrackFragmentHeaderBox, 8.8.7: which optional fields are there, the flags say. */
function trackDefaults(tfhd: Buffer): Defaults {
  const flags = tfhd.readUInt32BE(0) & 0xffffff;
  let at = 8 + (flags & 1 ? 8 : 0) + (flags & 2 ? 4 : 0);
  const next = (present: number): number => {
    if (!(flags & present)) return 0;
    at += 4;
    return tfhd.readUInt32BE(at - 4);
  };
  return { duration: next(0x8), size: next(0x10), flags: next(0x20) };
}

/** TrackRunBox, 8.8.8. */
function readRun(trun: Buffer, defaults: Defaults): { dataOffset: number; samples: Sample[] } {
  const has = trun.readUInt32BE(0) & 0xffffff;
  const count = trun.readUInt32BE(4);
  let at = 8;
  const next = (present: number): number | undefined => {
    if (!(has & present)) return undefined;
    at += 4;
    return trun.readUInt32BE(at - 4);
  };
  const dataOffset = next(0x1) ?? 0;
  const firstFlags = next(0x4);
  const samples: Sample[] = [];
  while (samples.length < count) {
    const duration = next(0x100) ?? defaults.duration;
    const size = next(0x200) ?? defaults.size;
    const flags = next(0x400) ?? (samples.length ? defaults.flags : (firstFlags ?? defaults.flags));
    // Signed since version 1, and never as large as 2^31 in version 0.
    samples.push({ duration, size, flags, compositionOffset: (next(0x800) ?? 0) | 0 });
  }
  return { dataOffset, samples };
}

/**
 * Pieces of one rendition that follow each other, as one segment: fragments stay as they are. Indexes (`sidx`) would
 * be wrong now and go; only the first says what kind of segment it is (`styp`).
 */
export function joinPieces(pieces: readonly Buffer[]): Buffer {
  return Buffer.concat(
    pieces.flatMap((piece, n) =>
      topBoxes(piece)
        .filter(({ type }) => type !== 'sidx' && (n === 0 || type !== 'styp'))
        .map(({ offset, size }) => piece.subarray(offset, offset + size)),
    ),
  );
}

/**
 * A fragment of which only the bytes to the end of its first sample are there, as I-frame playlists name them, as one that has no
 * other sample. Throws RangeError where that is not what `bytes` are.
 */
export function firstSampleAlone(bytes: Buffer): Buffer {
  const alone = Buffer.from(bytes);
  const [moof, mdat] = topBoxes(alone);
  const [first] = readFragments(alone);
  if (
    moof?.type !== 'moof' ||
    mdat?.type !== 'mdat' ||
    mdat.header !== 8 ||
    first?.firstSampleBytes !== alone.length
  )
    throw new RangeError('these are not a fragment to the end of its first sample');
  const [trun] = findBoxes(alone.subarray(moof.header, moof.size), 'traf/trun');
  trun?.body.writeUInt32BE(1, 4); // what the box says of other samples lies behind that of the first
  alone.writeUInt32BE(alone.length - mdat.offset, mdat.offset);
  return alone;
}

interface Place {
  type: string;
  offset: number;
  header: number;
  size: number;
}

/** Boxes that begin in `bytes`; the last may reach beyond them. */
function topBoxes(bytes: Buffer): Place[] {
  const boxes: Place[] = [];
  for (let offset = 0; offset + 16 <= bytes.length;) {
    const box = boxHeader(bytes, offset, bytes.length - offset);
    if (box.size < box.header) throw new RangeError(`box ${box.type} is too short`);
    boxes.push({ ...box, offset });
    offset += box.size;
  }
  return boxes;
}

/** Ticks per second of the only track of an initialization segment (MediaHeaderBox, 8.4.2). */
export function timescaleOf(initSegment: Buffer): number {
  const [mdhd] = findBoxes(initSegment, 'moov/trak/mdia/mdhd');
  if (!mdhd) throw new RangeError('an initialization segment without mdhd');
  return mdhd.body.readUInt32BE(mdhd.body[0] === 1 ? 20 : 12);
}
