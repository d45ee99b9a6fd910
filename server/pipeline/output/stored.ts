/** Renditions that are stored already, as sources of further outputs: read piece by piece, never the upload again. */
import { createWriteStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { firstSampleAlone } from '../../hls/fragments.ts';
import type { HlsDetails } from '../../hls/model.ts';
import { shown } from '../../hls/multivariant.ts';
import { hlsOutputs } from '../../media/growing.ts';
import { isBetter } from '../../media/output.ts';
import type { ByteRange } from '../../storage/storage.ts';
import type { MediaState, StepContext } from '../step.ts';

export interface StoredSegment {
  key: string;
  /** Seconds from the start of the media. */
  start: number;
  duration: number;
}

/** A key frame of a segment. */
export interface StoredPicture {
  /** Of the segment. */
  key: string;
  /** Its fragment's header and its own bytes. */
  range: ByteRange;
  /** Seconds from the start of the media. */
  time: number;
}

export interface StoredRendition {
  /** Key of the initialization segment. */
  init: string;
  segments: StoredSegment[];
  /** Seconds. */
  duration: number;
}

/** There is a stream that further outputs can be made of. */
export const isStored = ({ whole }: MediaState): boolean => whole;

/** What a stream has, and where each rendition is stored. */
export interface StoredStream {
  details: Pick<HlsDetails, 'variants' | 'audio'>;
  /** Folder of each rendition, by its name. */
  folders: ReadonlyMap<string, string>;
}

/** The complete stream of the step's media, in what every player plays. Throws before there is one. */
export async function storedStream({ db, media }: Pick<StepContext, 'db' | 'media'>): Promise<StoredStream> {
  const outputs = shown(await hlsOutputs(db, media.id)).filter(
    (output) => output.details.state === 'complete' && !isBetter(output),
  );
  if (!outputs.length) throw new Error(`media ${media.id} has no complete stream`);
  const renditions = outputs.flatMap(({ prefix, details }) =>
    [...details.variants, ...details.audio].map(({ name }) => [name, `${prefix}${name}/`] as const),
  );
  return {
    details: {
      variants: outputs.flatMap(({ details }) => details.variants),
      audio: outputs.find(({ details }) => details.audio.length)?.details.audio ?? [],
    },
    folders: new Map(renditions),
  };
}

/** A rendition of it, by its name. */
export async function storedRendition(
  { storage, signal }: Pick<StepContext, 'storage' | 'signal'>,
  { folders }: StoredStream,
  name: string,
): Promise<StoredRendition> {
  const folder = folders.get(name);
  if (folder === undefined) throw new Error(`no rendition ${name}`);
  const playlist = await text(await storage.read(`${folder}index.m3u8`, undefined, signal));
  let start = 0;
  const segments = [...playlist.matchAll(/^#EXTINF:([\d.]+),[^\n]*\n([\w-]+\.m4s)$/gm)].map(
    ([, seconds = '', uri = '']) => {
      const duration = Number(seconds);
      start += duration;
      return { key: folder + uri, start: start - duration, duration };
    },
  );
  return { init: `${folder}init.mp4`, segments, duration: start };
}

/** The key frames of a rendition of it, by its I-frame playlist. */
export async function storedPictures(
  { storage, signal }: Pick<StepContext, 'storage' | 'signal'>,
  stream: StoredStream,
  name: string,
): Promise<Pick<StoredRendition, 'init' | 'duration'> & { pictures: StoredPicture[] }> {
  const { init, duration } = await storedRendition({ storage, signal }, stream, name);
  const folder = stream.folders.get(name) ?? '';
  const playlist = await text(await storage.read(`${folder}iframes.m3u8`, undefined, signal));
  let time = 0;
  const pictures = [
    ...playlist.matchAll(/^#EXTINF:([\d.]+),[^\n]*\n#EXT-X-BYTERANGE:(\d+)@(\d+)\n([\w-]+\.m4s)$/gm),
  ].map(([, seconds = '', bytes = '', offset = '', uri = '']) => {
    const start = Number(offset);
    const picture = { key: folder + uri, range: { start, end: start + Number(bytes) - 1 }, time };
    time += Number(seconds);
    return picture;
  });
  return { init, duration, pictures };
}

/** Writes the rendition into one local file that FFmpeg reads as fragmented MP4. */
export async function fetchRendition(
  { storage, signal }: Pick<StepContext, 'storage' | 'signal'>,
  { init, segments }: Pick<StoredRendition, 'init' | 'segments'>,
  path: string,
): Promise<void> {
  const keys = [init, ...segments.map(({ key }) => key)];
  const bodies = inOrder(keys, SEGMENTS_AHEAD, (key) => storage.read(key, undefined, signal));
  await pipeline(bytesOf(bodies), createWriteStream(path), { signal });
}

/** Writes these pictures, and nothing between them, into one local file that FFmpeg reads as fragmented MP4. */
export async function fetchPictures(
  { storage, signal }: Pick<StepContext, 'storage' | 'signal'>,
  { init, pictures }: { init: string; pictures: readonly StoredPicture[] },
  path: string,
): Promise<void> {
  const bodies = inOrder(pictures, PICTURES_AHEAD, ({ key, range }) => storage.read(key, range, signal));
  const fragments = async function* (): AsyncGenerator<Buffer> {
    yield await buffer(await storage.read(init, undefined, signal));
    for await (const body of bodies) yield firstSampleAlone(await buffer(body));
  };
  await pipeline(fragments, createWriteStream(path), { signal });
}

async function* bytesOf(bodies: AsyncIterable<Readable>): AsyncGenerator<Buffer> {
  for await (const body of bodies) yield* body as AsyncIterable<Buffer>;
}

/**
 * Remote storage takes longer to begin an answer than to send a short one: so many are asked for ahead. Of large ones the
 * last waits for the others, and must not wait so long that its connection times out.
 */
const SEGMENTS_AHEAD = 2;
const PICTURES_AHEAD = 9;

/** What `read` opens, one after the other, and `ahead` more. What is open when the consumer ends is closed. */
async function* inOrder<T>(
  items: readonly T[],
  ahead: number,
  read: (item: T) => Promise<Readable>,
): AsyncGenerator<Readable> {
  const left = [...items];
  const opened: Promise<Readable>[] = [];
  const openNext = (): void => {
    const item = left.shift();
    if (item === undefined) return;
    const stream = read(item);
    // What goes wrong before its turn is told in its turn.
    stream.then((body) => body.on('error', () => undefined)).catch(() => undefined);
    opened.push(stream);
  };
  for (let n = 0; n <= ahead; n++) openNext();
  try {
    for (let stream; (stream = opened.shift()); openNext()) yield await stream;
  } finally {
    for (const stream of opened) stream.then((body) => body.destroy()).catch(() => undefined);
  }
}
