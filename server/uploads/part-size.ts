/** Sizes of S3 parts. Amazon S3, "multipart upload limits": 10,000 parts, 5 MiB at least but for the last; R2: all equal. */

export const MAX_PARTS = 10_000;
const MIB = 1024 * 1024;

/**
 * The size of every part but the last: the preferred one, or as much more (whole MiB) as `length` bytes in
 * 10,000 parts need. A few numbers are kept back, because a takeover may skip some.
 */
export function partSizeFor(length: number, preferred: number): number {
  const needed = Math.ceil(length / (MAX_PARTS - 100) / MIB) * MIB;
  return Math.max(preferred, needed);
}
