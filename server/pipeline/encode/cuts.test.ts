import { Cutter, FreeCutter, nextCut, type PieceCutter } from './cuts.ts';

const lengths = (pieces: number[], cutter: PieceCutter<{ duration: number }> = new Cutter()): number[] => {
  const segments = pieces.flatMap((duration) => cutter.add({ duration }));
  const rest = cutter.end();
  return [...segments, ...(rest ? [rest] : [])].map((s) => s.reduce((sum, p) => sum + p.duration, 0));
};

it('begins with short segments and goes on with long ones', () => {
  expect([0, 0.49, 0.52, 0.99, 1.02, 1.99, 2, 4.01, 6, 8.02, 12.012].map(nextCut)).toEqual([
    ...[0.5, 1, 1, 2, 2, 4, 4, 6, 8, 12, 18],
  ]);
  expect(lengths([0.5, 0.5, 1, ...Array<number>(10).fill(2)])).toEqual([0.5, 0.5, 1, 2, 2, 2, 4, 6, 4]);
  expect(lengths(Array<number>(23).fill(1))).toEqual([1, 1, 2, 2, 2, 4, 6, 5]);
  expect(lengths(Array<number>(46).fill(0.5))).toEqual([0.5, 0.5, 1, 2, 2, 2, 4, 6, 5]);
});

it('cuts sounds and odd frame rates as often as pictures, and does not drift', () => {
  const pieces = Array.from({ length: 1800 }, (_, n) => (n % 3 ? 0.992 : 1.016));
  expect(lengths(pieces)).toHaveLength(lengths(Array<number>(1800).fill(1)).length);
});

it('takes what is longer than a segment as it is', () => {
  expect(lengths([8, 9, 1])).toEqual([8, 9, 1]);
});

it('leaves no crumb at the end', () => {
  const ending = (pieces: number[], end: number): string =>
    lengths(pieces, new Cutter(0, end))
      .map((seconds) => seconds.toFixed(2))
      .join(' ');
  expect(ending([2, 2, 2, 2, 2, 2, 0.02], 12)).toBe('2.00 2.00 2.00 2.00 4.02');
  expect(ending([2, 2, 0.2], 4.2)).toBe('2.00 2.20');
  expect(ending([2, 2, 1.99], 6)).toBe('2.00 2.00 1.99');
  // Sounds beside a picture that is taken over as it is have pieces of 2 s from the start.
  expect(ending([2, 0.04], 2.04)).toBe('2.04');
  expect(ending([2, 2, 2, 0.04], 6.04)).toBe('2.00 2.00 2.04');
  // More than a crumb is a segment; and what does not end where it should is cut as if nobody had known.
  expect(ending([2, 2, 2, 0.5], 6.5)).toBe('2.00 2.00 2.00 0.50');
  expect(ending([2, 2, 2, 2, 2, 2, 2], 4)).toBe('2.00 2.00 2.00 2.00 4.00 2.00');
});

describe('key frames of a source', () => {
  const free = (pieces: number[]): string =>
    lengths(pieces, new FreeCutter())
      .map((seconds) => seconds.toFixed(1))
      .join(' ');

  it('are joined to short segments, then to long ones', () => {
    expect(free(Array<number>(20).fill(1))).toBe('2.0 2.0 2.0 6.0 6.0 2.0');
    expect(free(Array<number>(8).fill(2.2))).toBe('2.2 2.2 2.2 4.4 4.4 2.2');
    expect(free(Array<number>(4).fill(5))).toBe('5.0 5.0 5.0 5.0');
  });

  it('never make a segment longer than the target, unless they are further apart', () => {
    expect(free([1, 5.9, 1, 5.4, 1.9, 4.5])).toBe('1.0 5.9 6.4 6.4');
    expect(free([1, 9, 1, 1])).toBe('1.0 9.0 2.0');
  });
});
