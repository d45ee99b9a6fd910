import { barsOf } from './waveform.ts';

const heights = (data: number[]): number[] =>
  [...barsOf({ bits: 8, data }).matchAll(/v([\d.]+)/g)].map(([, height]) => Number(height));

describe('barsOf', () => {
  it('draws as many bars for a short sound as for a long one', () => {
    expect(heights([-64, 64])).toHaveLength(200);
    expect(heights(Array.from({ length: 2000 }, () => 1))).toHaveLength(200);
    expect(heights([])).toEqual(Array.from({ length: 200 }, () => 2));
  });

  it('makes the loudest as high as there is room, and silence a line', () => {
    const drawn = heights([-32, 30, 0, 0, -16, 10, 0, 0]);
    expect([drawn[0], drawn[60], drawn[110], drawn[199]]).toEqual([100, 2, 50, 2]);
  });

  it('does not blow up noise', () => {
    expect(Math.max(...heights([-1, 1]))).toBeLessThan(20);
  });
});
