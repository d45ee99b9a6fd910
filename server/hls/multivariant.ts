/** The multivariant playlist of a media, composed from its outputs whenever somebody asks. Pure. */
import { labels } from './labels.ts';
import type { AudioRendition, HlsDetails, Rates, VideoRendition } from './model.ts';
import type { MultivariantPlaylist, Rendition, Variant } from './playlist.ts';

/** An output with renditions. Their addresses begin with its id. */
export interface RenditionGroup {
  id: string;
  details: HlsDetails;
}

const GROUP = 'audio';
/** Bits per second that most connections carry: players begin with the first variant, and this is it. */
const FIRST_VARIANT = 2_500_000;
const NOTHING: Rates = { bandwidth: 0, averageBandwidth: 0 };

/**
 * The outputs that a playlist of now shows. Players need all of its media playlists to be of one kind (VOD or EVENT):
 * so growing ones are shown only as long as none is complete. Superseded ones are not shown.
 */
export function shown<T extends { details: HlsDetails }>(outputs: readonly T[]): T[] {
  const current = outputs.filter(({ details }) => details.supersededAt === undefined);
  const complete = current.filter(({ details }) => details.state === 'complete');
  return complete.length ? complete : current.slice(0, 1);
}

/** Every rung with every sound, and the sound alone for the slowest connections. Undefined when there is nothing. */
export function composeMultivariant(outputs: readonly RenditionGroup[]): MultivariantPlaylist | undefined {
  const groups = shown(outputs);
  const video = groups.flatMap(({ id, details }) => details.variants.map((v) => ({ ...v, id })));
  const withSound = groups.find(({ details }) => details.audio.length);
  const audio = (withSound?.details.audio ?? []).map((a) => ({ ...a, id: withSound?.id ?? '' }));
  if (!video.length && !audio.length) return undefined;
  video.sort((a, b) => rankOf(a) - rankOf(b) || b.width * b.height - a.width * a.height);
  const codecs = [...new Set(audio.map((a) => a.codecs))];
  const sounds = { bandwidth: most(audio, 'bandwidth'), averageBandwidth: most(audio, 'averageBandwidth') };
  const group = audio.length && (video.length || audio.length > 1) ? GROUP : undefined;
  const pictures = video.map((v): Variant => ({ ...picture(v, v, sounds, codecs), audio: group }));
  const alone = audio.slice(0, 1).map((a): Variant => ({
    uri: playlistOf(a),
    ...sounds,
    codecs,
    audio: group,
  }));
  return {
    variants: [...startFirst(pictures), ...alone],
    audio: group ? rendered(audio) : [],
    iframes: video.flatMap((v) =>
      v.iframes ? [{ ...picture(v, v.iframes, NOTHING, []), uri: `${v.id}/${v.name}/iframes.m3u8` }] : [],
    ),
  };
}

/** What every player plays comes first: among it is the variant that players begin with. */
const RANKS = ['avc1', 'hvc1', 'av01'];
const rankOf = ({ codecs }: VideoRendition): number => RANKS.indexOf(codecs.slice(0, 4));

const playlistOf = ({ id, name }: { id: string; name: string }): string => `${id}/${name}/index.m3u8`;

const most = (audio: readonly AudioRendition[], rate: keyof Rates): number =>
  Math.max(0, ...audio.map((a) => a[rate]));

const picture = (
  v: VideoRendition & { id: string },
  own: Rates,
  sounds: Rates,
  soundCodecs: readonly string[],
): Variant => ({
  uri: playlistOf(v),
  bandwidth: own.bandwidth + sounds.bandwidth,
  averageBandwidth: own.averageBandwidth + sounds.averageBandwidth,
  codecs: [v.codecs, ...soundCodecs],
  video: { width: v.width, height: v.height, frameRate: v.frameRate },
});

function startFirst(variants: readonly Variant[]): Variant[] {
  const everyones = variants.filter(({ codecs }) => codecs[0]?.startsWith(RANKS[0] ?? ''));
  const first = everyones.find((v) => v.bandwidth <= FIRST_VARIANT) ?? everyones.at(-1);
  return first ? [first, ...variants.filter((v) => v !== first)] : [];
}

function rendered(audio: readonly (AudioRendition & { id: string })[]): Rendition[] {
  const named = labels(audio);
  return audio.map((a, n) => ({
    group: GROUP,
    name: named[n]?.label ?? '',
    language: named[n]?.language ?? 'und',
    channels: a.channels,
    isDefault: n === 0,
    uri: playlistOf(a),
  }));
}
