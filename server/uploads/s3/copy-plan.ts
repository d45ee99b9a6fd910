/** How objects become one by copying: which ranges of which sources make up the parts of a multipart upload. */

export interface Segment {
  /** Index of the source. */
  source: number;
  start: number;
  /** Inclusive. */
  end: number;
}

/**
 * The sources' bytes, one after the other, cut into parts of `partSize` (all but the last, as R2 wants it). A part of
 * one segment can be copied inside the bucket; one of several has to be joined by us.
 */
export function planParts(sizes: readonly number[], partSize: number): Segment[][] {
  const parts: Segment[][] = [];
  let room = 0;
  sizes.forEach((size, source) => {
    for (let start = 0; start < size;) {
      if (room === 0) {
        parts.push([]);
        room = partSize;
      }
      const length = Math.min(room, size - start);
      parts.at(-1)?.push({ source, start, end: start + length - 1 });
      start += length;
      room -= length;
    }
  });
  return parts;
}
