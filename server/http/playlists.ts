/** The playlists of a media as they are now. */
import { text } from 'node:stream/consumers';
import type { Db } from '../../db/dialect.ts';
import type { Context } from '../context.ts';
import { playlistOf } from '../hls/media-playlist.ts';
import { composeMultivariant, shown } from '../hls/multivariant.ts';
import { stringifyMultivariant } from '../hls/playlist.ts';
import { hlsOutputs, segmentsOf, type HlsOutput } from '../media/growing.ts';
import { ObjectMissingError } from '../storage/storage.ts';

export interface PlaylistText {
  text: string;
  /** It will be another one soon. */
  growing: boolean;
}

export interface MediaPlaylistText extends PlaylistText {
  /** That it has, while it is growing. */
  segments?: number;
}

/** The multivariant playlist; undefined when there is nothing to play. */
export async function multivariantOf(db: Db, mediaId: string): Promise<PlaylistText | undefined> {
  const outputs = await hlsOutputs(db, mediaId);
  const playlist = composeMultivariant(outputs);
  if (!playlist) return undefined;
  const final = shown(outputs).some(({ kind }) => kind === 'ladder');
  const growing = shown(outputs).some(({ details }) => details.state === 'growing');
  return { text: stringifyMultivariant(playlist), growing: growing || !final };
}

/** An output of a media that holds renditions, shown or superseded. */
export async function streamOutput(db: Db, mediaId: string, id: string): Promise<HlsOutput | undefined> {
  return (await hlsOutputs(db, mediaId)).find((output) => output.id === id);
}

/** The playlist at a path below an output; undefined when there is none. */
export async function mediaPlaylistOf(
  { db, storage }: Context,
  { id, prefix, details }: HlsOutput,
  path: string,
): Promise<MediaPlaylistText | undefined> {
  const [rendition = '', file] = path.split('/');
  if (details.state === 'growing') {
    const segments = file === 'index.m3u8' ? await segmentsOf(db, id, rendition) : [];
    if (!segments.length) return undefined;
    return { text: playlistOf(segments, true), growing: true, segments: segments.length };
  }
  try {
    return { text: await text(await storage.read(prefix + path)), growing: false };
  } catch (error) {
    if (error instanceof ObjectMissingError) return undefined;
    throw error;
  }
}
