/** Renditions that are stored already, as sources of further outputs: read piece by piece, never the upload again. */
import { createWriteStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import type { HlsDetails } from '../../hls/model.ts';
import { shown } from '../../hls/multivariant.ts';
import { hlsOutputs } from '../../media/growing.ts';
import { isBetter } from '../../media/output.ts';
import type { MediaState, StepContext } from '../step.ts';

export interface StoredSegment {
  key: string;
  /** Seconds from the start of the media. */
  start: number;
  duration: number;
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

/** Writes the rendition, or some of its segments, into one local file that FFmpeg reads as fragmented MP4. */
export async function fetchRendition(
  { storage, signal }: Pick<StepContext, 'storage' | 'signal'>,
  { init, segments }: Pick<StoredRendition, 'init' | 'segments'>,
  path: string,
): Promise<void> {
  const keys = [init, ...segments.map((s) => s.key)];
  const pieces = inOrder(keys, (key) => storage.read(key, undefined, signal));
  await pipeline(pieces, createWriteStream(path), { signal });
}

/**
 * Remote storage takes longer to begin an answer than to send a short segment: so many are asked for ahead. Of large ones the
 * last waits for the others, and must not wait so long that its connection times out.
 */
const AHEAD = 2;

/** The bytes of what `read` opens, one after the other. Those that are open when it ends are closed. */
async function* inOrder(
  keys: readonly string[],
  read: (key: string) => Promise<Readable>,
): AsyncGenerator<Buffer> {
  const left = keys.values();
  const opened: Promise<Readable>[] = [];
  const openNext = (): void => {
    const { value: key } = left.next();
    if (key === undefined) return;
    const stream = read(key);
    // What goes wrong before its turn is told in its turn.
    stream.then((body) => body.on('error', () => undefined)).catch(() => undefined);
    opened.push(stream);
  };
  for (let n = 0; n <= AHEAD; n++) openNext();
  try {
    for (let stream; (stream = opened.shift()); openNext()) yield* (await stream) as AsyncIterable<Buffer>;
  } finally {
    for (const stream of opened) stream.then((body) => body.destroy()).catch(() => undefined);
  }
}
