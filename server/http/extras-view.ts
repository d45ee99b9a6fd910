/** Outputs beside the stream, as `playback` names them for player pages. */
import type { MediaRow, OutputRow } from '../../db/schema.ts';
import type { Context } from '../context.ts';
import type { OutputDetails, OutputKind, PosterDetails } from '../media/output.ts';
import { playbackUrl } from './urls.ts';

export interface SubtitlesView {
  url: string;
  label: string;
  language: string;
  isDefault: boolean;
  isForced: boolean;
}

export interface ExtrasView {
  poster: string | null;
  posterWebp: string | null;
  /** Every size, for the `srcset` of an <img>. */
  posterSrcset: string | null;
  posterWebpSrcset: string | null;
  /** A tiny picture as a data: URL, to show until the poster is there. */
  placeholder: string | null;
  /** WebVTT whose cues are parts of pictures. */
  storyboard: string | null;
  /** JSON of audiowaveform's data format, version 2. */
  waveform: string | null;
  /** WebVTT; the stream has them too. */
  subtitles: SubtitlesView[];
  downloads: { mp4: string | null; m4a: string | null };
}

/** What there is of a media beside its stream; null where there is nothing (yet). */
export function extrasOf(ctx: Context, media: MediaRow, outputs: OutputRow[]): ExtrasView {
  const detailsOf = <K extends OutputKind>(kind: K): OutputDetails[K] | undefined => {
    const row = outputs.find((output) => output.kind === kind);
    return row && (JSON.parse(row.details) as OutputDetails[K]);
  };
  const url = (kind: OutputKind, file: string): string | null =>
    outputs.some((output) => output.kind === kind) ? playbackUrl(ctx, media, file) : null;
  const poster = detailsOf('poster');
  const srcset = (ending: string): string | null =>
    poster
      ? sizesOf(poster)
          .map((s) => `${playbackUrl(ctx, media, `${s.name}.${ending}`)} ${s.width}w`)
          .join(', ')
      : null;
  return {
    poster:
      url('poster', 'poster.jpg') ??
      (detailsOf('stream')?.poster ? playbackUrl(ctx, media, 'poster.jpg') : null),
    posterWebp: url('poster', 'poster.webp'),
    posterSrcset: srcset('jpg'),
    posterWebpSrcset: srcset('webp'),
    placeholder: poster?.placeholder ?? null,
    storyboard: url('storyboard', 'storyboard.vtt'),
    waveform: url('waveform', 'waveform.json'),
    subtitles: (detailsOf('subtitles')?.tracks ?? []).map(({ name, cues, ...track }) => ({
      url: playbackUrl(ctx, media, `subtitles/${name}.vtt`),
      ...track,
    })),
    downloads: { mp4: url('mp4', 'download.mp4'), m4a: url('m4a', 'download.m4a') },
  };
}

/** Posters of earlier versions had one size and didn't say so. */
const sizesOf = ({ sizes, width, height }: Partial<PosterDetails>): PosterDetails['sizes'] =>
  sizes ?? [{ name: 'poster', width: width ?? 0, height: height ?? 0 }];
