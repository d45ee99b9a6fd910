/** Renditions that are stored already, as sources of further outputs: read piece by piece, never the upload again. */
import { createWriteStream } from 'node:fs';
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
  for (const [n, key] of [init, ...segments.map((s) => s.key)].entries())
    await pipeline(
      await storage.read(key, undefined, signal),
      createWriteStream(path, { flags: n ? 'a' : 'w' }),
      { signal },
    );
}
