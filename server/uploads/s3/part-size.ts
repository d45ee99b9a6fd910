/** Sizes of S3 parts. Amazon S3, "multipart upload limits": 10,000 parts, 5 MiB at least but for the last; R2: all equal. */

export const MAX_PARTS = 10_000;
const MIB = 1024 * 1024;
/** Part numbers kept back, because takeovers skip some. */
const RESERVE = 200;

/**
 * The size of every part but the last: the preferred one, or as much more (whole MiB) as `length` bytes in
 * 10,000 parts need.
 */
export function partSizeFor(length: number, preferred: number): number {
  const needed = Math.ceil(length / (MAX_PARTS - RESERVE) / MIB) * MIB;
  return Math.max(preferred, needed);
}
