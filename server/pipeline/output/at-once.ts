/** Storing waits for disks and networks more than for processors: several things at once. */

const AT_ONCE = 4;

/**
 * Runs `work` on every item, four at once; resolves with the results in the items' order. Rejects with the first error, when
 * all that were running have ended.
 */
export async function atOnce<T, R>(
  items: readonly T[],
  work: (item: T, n: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const left = items.entries();
  let failed: { error: unknown } | undefined;
  const worker = async (): Promise<void> => {
    for (const [n, item] of left) {
      if (failed) return;
      try {
        results[n] = await work(item, n);
      } catch (error) {
        failed ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  if (failed) throw failed.error;
  return results;
}
