/** The list a menu of sounds reads: hls.js's audio tracks as `video.audioTracks` (HTML, section 4.8.11.10.1). */
import { Events } from 'hls.js';
import type Hls from 'hls.js';
import type { MediaPlaylist } from 'hls.js';

/** One sound of the film. To enable it disables the others, as only one is played. */
class Sound {
  readonly kind = 'alternative';
  readonly id: string;
  readonly label: string;
  readonly language: string;
  readonly #list: Sounds;
  readonly #index: number;

  constructor(list: Sounds, index: number, { name, lang }: MediaPlaylist) {
    this.id = String(index);
    this.label = name;
    this.language = lang ?? '';
    this.#list = list;
    this.#index = index;
  }

  get enabled(): boolean {
    return this.#list.playing === this.#index;
  }

  /** media-chrome tells each track of the list whether it is the one. */
  set enabled(wanted: boolean) {
    if (wanted) this.#list.choose(this.#index);
  }
}

/** Array-like, with the events media-chrome listens to. Empty where there is nothing to choose between. */
export class Sounds extends EventTarget {
  [index: number]: Sound;
  length = 0;
  #hls: Hls | undefined;

  /** Index of what is heard. */
  get playing(): number {
    return this.#hls?.audioTrack ?? -1;
  }

  choose(index: number): void {
    if (!this.#hls || index === this.playing) return;
    this.#hls.audioTrack = index;
    this.dispatchEvent(new Event('change'));
  }

  *[Symbol.iterator](): Iterator<Sound> {
    for (let i = 0; i < this.length; i++) yield this[i]!;
  }

  /** Shows the tracks of `hls`, now and whenever they change. */
  follow(hls: Hls): void {
    hls.on(Events.AUDIO_TRACKS_UPDATED, () => this.#show(hls));
    hls.on(Events.AUDIO_TRACK_SWITCHED, () => hls === this.#hls && this.dispatchEvent(new Event('change')));
    this.#show(hls);
  }

  #show(hls: Hls): void {
    for (let i = 0; i < this.length; i++) delete this[i];
    const tracks = hls.audioTracks;
    this.length = tracks.length > 1 ? tracks.length : 0;
    for (let i = 0; i < this.length; i++) this[i] = new Sound(this, i, tracks[i]!);
    this.#hls = hls;
    this.dispatchEvent(new Event('addtrack'));
  }
}
