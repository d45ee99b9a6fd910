/** The list a quality menu reads: hls.js's levels as `video.videoRenditions` (the shape of media-chrome's state). */
import Hls from 'hls.js';

interface Rendition {
  id: string;
  width: number;
  height: number;
  bitrate: number;
  frameRate: number;
  codec: string | undefined;
}

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

  /** Shows the levels of `hls` once its playlist is there, and lets a choice switch them. */
  follow(hls: Hls): void {
    this.#select = (index) => (hls.nextLevel = index);
    hls.on(Hls.Events.MANIFEST_PARSED, (_event, { levels }) => {
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
      this.dispatchEvent(new Event('addrendition'));
    });
  }
}
