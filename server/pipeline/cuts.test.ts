import { Cutter, nextCut } from './cuts.ts';

const lengths = (pieces: number[]): number[] => {
  const cutter = new Cutter<{ duration: number }>();
  const segments = pieces.flatMap((duration) => {
    const segment = cutter.add({ duration });
    return segment ? [segment] : [];
  });
  const rest = cutter.end();
  return [...segments, ...(rest ? [rest] : [])].map((s) => s.reduce((sum, p) => sum + p.duration, 0));
};

it('begins with short segments and goes on with long ones', () => {
  expect([0, 1.99, 2, 4.01, 6, 12.012].map(nextCut)).toEqual([2, 4, 4, 6, 12, 18]);
  expect(lengths(Array<number>(11).fill(2))).toEqual([2, 2, 2, 6, 6, 4]);
});

it('cuts sounds and odd frame rates as often as pictures, and does not drift', () => {
  const pieces = Array.from({ length: 900 }, (_, n) => (n % 3 ? 1.984 : 2.032));
  expect(lengths(pieces)).toHaveLength(lengths(Array<number>(900).fill(2)).length);
});

it('takes what is longer than a segment as it is', () => {
  expect(lengths([8, 8, 1])).toEqual([8, 8, 1]);
});
