/** The player: media-chrome's controls around a <video>. */
import 'media-chrome';
import 'media-chrome/menu';
import type { Media, Playback } from '../api/types.ts';
import { h } from '../ui/dom.ts';
import { playHls, type Playing, type Told } from './play-hls.ts';
import { Renditions } from './renditions.ts';
import { Sounds } from './sounds.ts';
import { waveform } from './waveform.ts';

export interface Player {
  element: HTMLElement;
  video: HTMLVideoElement;
  /** Adds what was made of the media meanwhile: previews, the waveform, better renditions. */
  enrich(playback: Playback): void;
  stop(): void;
}

interface Controller extends HTMLElement {
  keyboardShortcutHandler(event: KeyboardEvent): void;
}

/** Builds the player for a media that has playback. */
export function createPlayer(media: Media, told: Told): Player {
  const { playback, source } = media;
  if (!playback) throw new Error('nothing to play yet');
  const sound = source !== null && !source.video;
  const choices = { renditions: new Renditions(), sounds: new Sounds() };
  const video = h('video', {
    slot: 'media',
    playsinline: true,
    poster: playback.posterWebp ?? playback.poster ?? playback.placeholder,
    'aria-label': media.title,
  });
  // Before media-chrome sees the element: that is when it looks for the lists. Safari has one of sounds itself.
  Object.assign(video, {
    videoRenditions: choices.renditions,
    ...('audioTracks' in video ? {} : { audioTracks: choices.sounds }),
  });
  const controller = controls(video, sound);
  const shape = source?.video ? ` ${source.video.height > source.video.width ? 'tall' : 'wide'}` : ' wide';
  const element = h('div', { class: `player${sound ? ' sound' : shape}` }, controller);
  if (source?.video) element.style.setProperty('--ratio', `${source.video.width} / ${source.video.height}`);
  function enrich({ storyboard, waveform: shape }: Playback): void {
    // hls.js empties the tracks it finds when it starts: so this one comes after.
    if (storyboard && !video.querySelector('track[label=thumbnails]')) video.append(thumbnails(storyboard));
    if (shape && sound && !element.querySelector('.waveform')) controller.append(waveform(video, shape));
    playing.look();
  }
  const playing: Playing = playHls(video, playback.hls, choices, told);
  const unbind = bindShortcuts(controller);
  enrich(playback);
  return {
    element,
    video,
    enrich,
    stop() {
      unbind();
      playing.stop();
    },
  };
}

/** The track that media-chrome takes previews from, by its label. */
const thumbnails = (src: string): HTMLTrackElement =>
  h('track', { kind: 'metadata', label: 'thumbnails', default: true, src });

/** Custom elements are made by name; their attributes are those of media-chrome's documentation. */
function c(name: string, attributes: Record<string, string> = {}, ...children: Node[]): HTMLElement {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function controls(video: HTMLVideoElement, sound: boolean): Controller {
  const bar = [
    c('media-play-button'),
    c('media-seek-backward-button', { seekoffset: '10', class: 'wide-only' }),
    c('media-seek-forward-button', { seekoffset: '10', class: 'wide-only' }),
    c('media-mute-button'),
    c('media-volume-range', { class: 'wide-only' }),
    c('media-time-display', { showduration: '' }),
    c('span', { class: 'gap' }),
    c('media-settings-menu-button'),
    ...(sound ? [] : [c('media-pip-button', { class: 'wide-only' }), c('media-fullscreen-button')]),
  ];
  // There is no picture that controls could be in the way of.
  const shown: Record<string, string> = sound ? { noautohide: '' } : {};
  return c(
    'media-controller',
    { keyboardforwardseekoffset: '5', keyboardbackwardseekoffset: '5' },
    video,
    ...(sound ? [] : [c('media-loading-indicator', { slot: 'centered-chrome', noautohide: '' })]),
    settings(sound),
    c('media-control-bar', { class: 'seek', ...shown }, c('media-time-range')),
    c('media-control-bar', { class: 'buttons', ...shown }, ...bar),
  ) as Controller;
}

function settings(sound: boolean): HTMLElement {
  const item = (title: string, menu: string): HTMLElement =>
    c(
      'media-settings-menu-item',
      {},
      document.createTextNode(title),
      c(menu, { slot: 'submenu', hidden: '' }, submenuTitle(title)),
    );
  return c(
    'media-settings-menu',
    { hidden: '', anchor: 'auto' },
    item('Speed', 'media-playback-rate-menu'),
    item('Subtitles', 'media-captions-menu'),
    item('Sound', 'media-audio-track-menu'),
    ...(sound ? [] : [item('Quality', 'media-rendition-menu')]),
  );
}

function submenuTitle(title: string): HTMLElement {
  return c('div', { slot: 'title' }, document.createTextNode(title));
}

/** The player's keys (space, k, arrows, m, f, …) work on the whole page, except where they mean something else. */
function bindShortcuts(controller: Controller): () => void {
  const onKey = (event: KeyboardEvent): void => {
    const target = event.target;
    if (target !== document.body && !(target instanceof HTMLElement && target.id === 'main')) return;
    if (
      event.metaKey ||
      event.ctrlKey ||
      event.altKey ||
      (!' kmfcjl'.includes(event.key.toLowerCase()) && !/^Arrow(Left|Right)$/.test(event.key))
    )
      return;
    event.preventDefault();
    controller.keyboardShortcutHandler(event);
  };
  document.addEventListener('keydown', onKey);
  return () => document.removeEventListener('keydown', onKey);
}
