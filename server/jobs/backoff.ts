const FIRST_MS = 15_000;
const LONGEST_MS = 3_600_000;

/**
 * Milliseconds to wait after the `attempts`-th attempt failed: 15 s, 30 s, 60 s … one hour at most, times
 * 0.5 to 1 at random, so that jobs which failed together don't come back together.
 */
export function backoffMs(attempts: number, random: () => number = Math.random): number {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** (attempts - 1));
  return Math.round(ceiling * (0.5 + random() / 2));
}
