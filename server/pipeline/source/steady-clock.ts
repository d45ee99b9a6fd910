/** Time stamps of containers whose clock may jump, as FFmpeg straightens them (`ts_discontinuity` in ffmpeg.c). Pure. */

/** FFmpeg's demuxers that say so of their containers (AVFMT_TS_DISCONT): recordings are joined by putting files together. */
const JUMPING = /^(mpegts|mpeg|ogg)$/;

/** Whether the clock of this container, by FFmpeg's name, may jump. */
export const mayJump = (container: string): boolean => JUMPING.test(container);

/** Seconds: FFmpeg's `dts_delta_threshold`. */
const GAP = 10;
/** Seconds that decode times may go back. */
const BACK = 0.1;

/** One clock for all streams of a file, whose packets it must see in the order of the file. */
export class SteadyClock {
  #offset = 0;
  /** Where the last packet of each stream began, and where it ended: seconds, straightened. */
  readonly #streams = new Map<number, { last: number; next: number }>();
  #latest: number | undefined;

  /** What is to be added to the times of this packet, in seconds. */
  offsetAt(stream: number, decodeTime: number, duration: number): number {
    const time = decodeTime + this.#offset;
    const known = this.#streams.get(stream);
    const delta = time - (known?.next ?? this.#latest ?? time);
    const jumps = Math.abs(delta) > GAP || (known !== undefined && time + BACK < known.last);
    if (jumps) this.#offset -= delta;
    const last = decodeTime + this.#offset;
    this.#streams.set(stream, { last, next: last + duration });
    this.#latest = last;
    return this.#offset;
  }
}
