/** The list a quality menu reads: hls.js's levels as `video.videoRenditions` (the shape of media-chrome's state). */
import type Hls from 'hls.js';
import type { Level } from 'hls.js';

interface Rendition {
  id: string;
  width: number;
  height: number;
  bitrate: number;
  frameRate: number;
  codec: string | undefined;
}

/** The sample entry that a CODECS string begins with, e.g. `avc1`. */
export const codecOf = (codecs: string | undefined): string => codecs?.slice(0, 4) ?? '';

/** Array-like, with the events media-chrome listens to; `selectedIndex` -1 means automatic. */
export class Renditions extends EventTarget {
  [index: number]: Rendition;
  length = 0;
  #select: (index: number) => void = () => {};
  #selected = -1;

  get selectedIndex(): number {
    return this.#selected;
  }

  set selectedIndex(index: number) {
    if (index === this.#selected) return;
    this.#selected = index;
    this.#select(index);
    this.dispatchEvent(new Event('change'));
  }

  *[Symbol.iterator](): Iterator<Rendition> {
    for (let i = 0; i < this.length; i++) yield this[i]!;
  }

  /** Shows these levels of `hls`, and lets a choice switch them. The choice of a height outlives a change of levels. */
  show(hls: Hls, levels: readonly Level[]): void {
    const chosen = this.sameAs(levels.map(({ height }) => height));
    for (let i = 0; i < this.length; i++) delete this[i];
    levels.forEach((level, index) => {
      this[index] = {
        id: String(index),
        width: level.width,
        height: level.height,
        bitrate: level.bitrate,
        frameRate: level.frameRate,
        codec: level.videoCodec,
      };
    });
    // Nothing to choose between for one level, or for sound.
    this.length = levels.length > 1 && levels.every((l) => l.height > 0) ? levels.length : 0;
    this.#selected = this.length ? chosen : -1;
    this.#select = (index) => (hls.nextLevel = index);
    this.dispatchEvent(new Event('addrendition'));
  }

  /** The index, among other levels, of what was chosen: as high, or the nearest below; -1 for automatic. */
  sameAs(heights: readonly number[]): number {
    const height = this[this.#selected]?.height;
    if (height === undefined || !heights.length) return -1;
    const below = heights.filter((each) => each <= height);
    return heights.indexOf(below.length ? Math.max(...below) : Math.min(...heights));
  }
}
