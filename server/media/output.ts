/** What steps store and the API lists: rows of `output`. */
import type { Trx } from '../../db/dialect.ts';
import { newId } from '../ids.ts';
import { emit } from '../events/events.ts';
import type { HlsDetails } from '../hls/model.ts';

export type { HlsDetails };

/** Details of each kind. */
export interface OutputDetails {
  /** The source's own picture, cut into segments. */
  copy: HlsDetails;
  /** The lowest rung and every sound, so that something plays soon. */
  first: HlsDetails;
  /** The other rungs, or all of them and every sound. */
  ladder: HlsDetails;
  /** The ladder in HEVC. */
  hevc: HlsDetails;
  /** The ladder in AV1. */
  av1: HlsDetails;
  poster: PosterDetails;
  storyboard: StoryboardDetails;
  waveform: WaveformDetails;
  subtitles: SubtitlesDetails;
  mp4: Mp4Details;
  m4a: M4aDetails;
  stream: StreamDetails;
}

export type OutputKind = keyof OutputDetails;

/** Kinds that hold renditions of the stream: their details are `HlsDetails`. */
export const HLS_KINDS = ['copy', 'first', 'ladder', 'hevc', 'av1'] as const;
/** Outputs with what others have already, in codecs that not every player has. */
export const isBetter = ({ kind }: { kind: string }): boolean => kind === 'hevc' || kind === 'av1';
export type HlsKind = (typeof HLS_KINDS)[number];
export const isHls = ({ kind }: { kind: string }): boolean => (HLS_KINDS as readonly string[]).includes(kind);

/** Details of `poster`: for each size `{name}.jpg` and `{name}.webp` under the prefix; the largest is `poster`. */
export interface PosterDetails {
  width: number;
  height: number;
  /** The smallest first. */
  sizes: { name: string; width: number; height: number }[];
  /** A tiny blurred WebP as a data: URL, to show until the poster is there. */
  placeholder: string;
}

/** Details of `storyboard`: `storyboard.vtt`, and sheets `storyboard-1.webp`, … of tiles in rows. */
export interface StoryboardDetails {
  /** Seconds each tile stands for. */
  interval: number;
  tiles: number;
  /** Pixels of a tile. */
  width: number;
  height: number;
  /** Tiles in a full row. */
  columns: number;
  sheets: number;
}

/** Details of `waveform`: `waveform.json`, in the data format (version 2) of the BBC's audiowaveform. */
export interface WaveformDetails {
  /** Pairs of a lowest and a highest sample. */
  length: number;
}

/** Details of `subtitles`: `1.vtt`, `2.vtt`, … under the prefix. */
export interface SubtitlesDetails {
  tracks: SubtitleTrack[];
}

export interface SubtitleTrack {
  /** Its file is `{name}.vtt`. */
  name: string;
  /** What a menu calls it; no two tracks have the same. */
  label: string;
  /** BCP 47; `und` when nobody knows. */
  language: string;
  isDefault: boolean;
  /** Only for what is foreign in the film itself: signs, another language. */
  isForced: boolean;
  cues: number;
}

/** Details of `mp4`: `download.mp4`, with the index at its front. */
export interface Mp4Details {
  duration: number;
  width: number;
  height: number;
}

/** Details of `m4a`: `download.m4a`. */
export interface M4aDetails {
  duration: number;
}

/** Details of `stream`: a video at a provider. Nothing of it is stored here. */
export interface StreamDetails {
  /** cloudflare. */
  provider: string;
  videoId: string;
  hls: string;
  dash?: string | undefined;
  poster?: string | undefined;
  /** Its addresses need a token. */
  signed: boolean;
  /** Every quality is there. */
  complete: boolean;
  /** Seconds. */
  duration?: number | undefined;
  width?: number | undefined;
  height?: number | undefined;
}

export interface NewOutput {
  /** Part of the prefix, made before the work starts: see `outputPrefix`. */
  id: string;
  mediaId: string;
  mediaAttempt: number;
  owner: string;
  kind: OutputKind;
  prefix: string;
  bytes: number;
  details: OutputDetails[OutputKind];
}

export const newOutputId = newId;

/**
 * Makes an output visible, replacing the one of the same kind: an earlier attempt's, or itself when it has grown. Nobody is
 * told of one that is only being opened.
 */
export async function publishOutput(trx: Trx, output: NewOutput): Promise<void> {
  await trx
    .deleteFrom('output')
    .where('mediaId', '=', output.mediaId)
    .where('kind', '=', output.kind)
    .execute();
  const { owner, details, ...columns } = output;
  await trx
    .insertInto('output')
    .values({ ...columns, details: JSON.stringify(details), createdAt: Date.now() })
    .execute();
  if ('state' in details && details.state === 'opening') return;
  emit(trx, {
    type: 'media.output',
    owner,
    mediaId: output.mediaId,
    payload: { kind: output.kind, bytes: output.bytes },
  });
}
