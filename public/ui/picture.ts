/** A small picture of a media: its poster over the placeholder, or a sign of what it is. */
import type { Media } from '../api/types.ts';
import { h } from './dom.ts';
import { icon } from './icons.ts';

/** As wide as .thumbnail is. */
const SIZES = '112px';

/** The picture for `media`; the one `holder` shows already when it would be the same. */
export function picture(holder: Element, media: Media | undefined): Element {
  // The poster is there before there is anything to play.
  const poster = media?.outputs.find((output) => output.kind === 'poster');
  const url = media?.playback?.posterWebp ?? poster?.url ?? poster?.placeholder;
  const sound = media?.source && !media.source.video;
  const key = url ? pathOf(url) : sound ? 'sound' : 'film';
  const shown = holder.firstElementChild;
  if (shown instanceof HTMLElement && shown.dataset.key === key) return shown;
  if (!url) return h('span', { class: 'no-picture', 'data-key': key }, icon(sound ? 'sound' : 'film', 26));
  const srcset = media?.playback?.posterWebpSrcset;
  const image = h('img', {
    src: url,
    srcset,
    sizes: SIZES,
    alt: '',
    loading: 'lazy',
    decoding: 'async',
    'data-key': key,
  });
  const instead = poster?.placeholder;
  // A poster that can't be had (yet) leaves its placeholder.
  if (instead && instead !== url)
    image.addEventListener('error', () => (image.removeAttribute('srcset'), (image.src = instead)), {
      once: true,
    });
  return image;
}

/** Signed URLs differ on each read; the picture does not. */
function pathOf(url: string): string {
  return url.startsWith('data:') ? url : new URL(url, location.href).pathname;
}
