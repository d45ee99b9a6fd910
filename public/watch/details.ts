/** What is known of a media: the source's facts and the renditions that were made. */
import type { Media, Variant } from '../api/types.ts';
import { h } from '../ui/dom.ts';
import { bitrate, dateTime, duration, size } from '../ui/format.ts';

/** The folded-up details below the player. */
export function details(media: Media): HTMLDetailsElement {
  const variants = media.outputs.flatMap((output) => output.variants ?? []);
  return h(
    'details',
    { class: 'details card' },
    h('summary', {}, 'Details'),
    h(
      'dl',
      { class: 'facts' },
      ...facts(media).flatMap(([term, value]) => [h('dt', {}, term), h('dd', {}, value)]),
    ),
    variants.length > 0 && renditions(variants),
  );
}

function facts(media: Media): [string, string][] {
  const { source } = media;
  const rows: ([string, string | undefined] | undefined)[] = [
    ['File', media.filename ?? undefined],
    ['Uploaded', dateTime(media.createdAt)],
    ['By', media.owner],
    source ? ['Size', size(source.size)] : undefined,
    source ? ['Duration', duration(source.duration)] : undefined,
    source?.bitrate ? ['Bit rate', bitrate(source.bitrate)] : undefined,
    source?.video ? ['Video', videoText(source.video)] : undefined,
    source?.audio.length ? ['Sound', source.audio.map(audioText).join('; ')] : undefined,
    source?.subtitles?.length ? ['Subtitles', source.subtitles.map(subtitleText).join('; ')] : undefined,
    ['ID', media.id],
  ];
  return rows.filter((row): row is [string, string] => row?.[1] !== undefined);
}

function videoText(video: NonNullable<NonNullable<Media['source']>['video']>): string {
  const rate = video.frameRate
    ? `${Number(video.frameRate.toFixed(2))} fps${video.variableFrameRate ? ' (variable)' : ''}`
    : '';
  return [`${video.codec} ${video.width} × ${video.height}`, rate, video.hdr ? 'HDR' : '']
    .filter(Boolean)
    .join(', ');
}

function audioText(audio: {
  codec: string;
  channels: number;
  sampleRate: number;
  language?: string;
}): string {
  const channels =
    audio.channels === 1 ? 'mono' : audio.channels === 2 ? 'stereo' : `${audio.channels} channels`;
  return [audio.codec, channels, `${audio.sampleRate / 1000} kHz`, audio.language].filter(Boolean).join(', ');
}

type Subtitles = NonNullable<NonNullable<Media['source']>['subtitles']>[number];

const subtitleText = ({ codec, isText, language, title }: Subtitles): string =>
  [title, language, codec, isText ? '' : 'pictures, left out'].filter(Boolean).join(', ');

function renditions(variants: Variant[]): HTMLElement {
  return h(
    'table',
    { class: 'renditions' },
    h('caption', {}, 'Renditions'),
    h(
      'thead',
      {},
      h('tr', {}, ...['Name', 'Pixels', 'Frame rate', 'Bit rate'].map((t) => h('th', { scope: 'col' }, t))),
    ),
    h(
      'tbody',
      {},
      ...variants.map((v) =>
        h(
          'tr',
          {},
          h('td', {}, v.name),
          h('td', {}, `${v.width} × ${v.height}`),
          h('td', {}, v.frameRate ? `${Number(v.frameRate.toFixed(2))} fps` : '–'),
          h('td', {}, bitrate(v.bandwidth)),
        ),
      ),
    ),
  );
}
