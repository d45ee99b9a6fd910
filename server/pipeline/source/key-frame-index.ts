/** What the index of an MP4 or QuickTime file says about its key frames: known before a picture is read. */
import { open, type FileHandle } from 'node:fs/promises';
import { findBoxes, type Box } from '../../hls/boxes.ts';
import { fileBoxes } from './file-boxes.ts';

/** The index of a day is smaller. */
const MAX_INDEX_BYTES = 64 * 1024 * 1024;

/**
 * Seconds of the longest time from a key frame to the next, or to the end. Undefined where no index says it: in other
 * containers, in files of fragments, without a picture, and when it is damaged.
 */
export async function longestKeyFrameInterval(path: string): Promise<number | undefined> {
  const handle = await open(path, 'r');
  try {
    const moov = await readIndex(handle);
    const pictures = moov ? findBoxes(moov, 'trak/mdia').filter(isPicture) : [];
    const intervals = pictures.map(({ body }) => longestInterval(body));
    return intervals.length && !intervals.includes(0) ? Math.max(...intervals) : undefined;
  } catch (error) {
    if (error instanceof RangeError) return undefined; // it says more than there is
    throw error;
  } finally {
    await handle.close();
  }
}

async function readIndex(handle: FileHandle): Promise<Buffer | undefined> {
  const { size: fileSize } = await handle.stat();
  for await (const { type, at, header, size } of fileBoxes(handle, fileSize)) {
    if (type !== 'moov') continue;
    if (size > MAX_INDEX_BYTES || at + size > fileSize) return undefined;
    const { buffer } = await handle.read(Buffer.alloc(size - header), 0, size - header, at + header);
    return buffer;
  }
  return undefined;
}

/** HandlerBox (ISO/IEC 14496-12, 8.4.3). */
const isPicture = ({ body }: Box): boolean =>
  findBoxes(body, 'hdlr').some((hdlr) => hdlr.body.toString('latin1', 8, 12) === 'vide');

/** Of a MediaBox; 0 when it names no samples. */
function longestInterval(media: Buffer): number {
  const [mdhd] = findBoxes(media, 'mdhd');
  const [stts] = findBoxes(media, 'minf/stbl/stts');
  const [stss] = findBoxes(media, 'minf/stbl/stss');
  if (!mdhd || !stts) return 0;
  const timescale = mdhd.body.readUInt32BE(mdhd.body[0] === 1 ? 20 : 12);
  const ticks = longestBetween(runsOf(stts.body), stss && numbersOf(stss.body));
  return timescale ? ticks / timescale : 0;
}

/** A list as it lies in the file: of millions of entries, objects would take many times the room. */
interface List {
  length: number;
  at(n: number): number;
}

/** TimeToSampleBox, 8.6.1.2: so many samples that follow each other last so many ticks each. */
function runsOf(stts: Buffer): { samples: List; ticks: List } {
  return { samples: listIn(stts, 8, 0), ticks: listIn(stts, 8, 4) };
}

/** SyncSampleBox, 8.6.2: the numbers of key frames, from 1, in strictly increasing order. Without the box every sample is one. */
const numbersOf = (stss: Buffer): List => listIn(stss, 4, 0);

/** The numbers at `offset` in the entries of a full box. */
function listIn(box: Buffer, entryBytes: number, offset: number): List {
  const length = box.readUInt32BE(4);
  if (8 + length * entryBytes > box.length) throw new RangeError('a list is longer than its box');
  return { length, at: (n) => box.readUInt32BE(8 + n * entryBytes + offset) };
}

/** Ticks between key frames, and from the last one to the end, at most. One walk through both lists. */
function longestBetween({ samples, ticks }: ReturnType<typeof runsOf>, keyFrames: List | undefined): number {
  let [longest, previous, time, sample, next] = [0, 0, 0, 1, 0];
  const pass = (at: number): void => {
    longest = Math.max(longest, at - previous);
    previous = at;
  };
  for (let run = 0; run < samples.length; run++) {
    const [count, each] = [samples.at(run), ticks.at(run)];
    if (!keyFrames) longest = Math.max(longest, each);
    else
      for (; next < keyFrames.length && keyFrames.at(next) < sample + count; next++)
        pass(time + (keyFrames.at(next) - sample) * each);
    sample += count;
    time += count * each;
  }
  if (keyFrames) pass(time);
  return longest;
}
