/** Random numbers that a printed seed plays again. */
export interface Random {
  /** 0 ≤ n < 1. */
  next(): number;
  /** An integer, both ends included. */
  between(min: number, max: number): number;
  /** One of the items. */
  pick<T>(items: readonly T[]): T;
  /** True with this probability. */
  chance(probability: number): boolean;
}

/** The seed comes from TEST_SEED or is new; it is printed so that a failure can be replayed. */
export function seededRandom(name: string): Random {
  const seed = Number(process.env['TEST_SEED'] ?? newSeed());
  process.stderr.write(`${name}: TEST_SEED=${seed}\n`);
  return randomFrom(seed);
}

export const newSeed = (): number => Math.floor(Math.random() * 2 ** 31);

/** mulberry32: the same seed gives the same numbers. */
export function randomFrom(seed: number): Random {
  let state = seed;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return {
    next,
    between: (min, max) => min + Math.floor(next() * (max - min + 1)),
    pick: (items) => items[Math.floor(next() * items.length)]!,
    chance: (probability) => next() < probability,
  };
}
