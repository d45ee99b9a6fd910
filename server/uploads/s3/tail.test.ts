import { planPiece, sizeOf } from './tail.ts';

/** Adds `count` pieces of one byte; returns the pieces, how many there were at most, and the bytes that were stored. */
function add(count: number) {
  let pieces: { size: number; level: number }[] = [];
  let most = 0;
  let stored = 0;
  for (let i = 0; i < count; i++) {
    const { keep, level } = planPiece(pieces);
    const size = sizeOf(pieces.slice(keep)) + 1;
    pieces = [...pieces.slice(0, keep), { size, level }];
    stored += size;
    most = Math.max(most, pieces.length);
  }
  return { pieces, most, stored };
}

describe('pieces of a tail', () => {
  it('are merged by eight', () => {
    expect(add(7).pieces).toEqual(Array(7).fill({ size: 1, level: 0 }));
    expect(add(8).pieces).toEqual([{ size: 8, level: 1 }]);
    expect(add(9).pieces).toEqual([
      { size: 8, level: 1 },
      { size: 1, level: 0 },
    ]);
    expect(add(64).pieces).toEqual([{ size: 64, level: 2 }]);
  });

  it.each([1, 7, 8, 100, 1000, 8192])('stay few, and store few bytes again, over %i requests', (count) => {
    const { pieces, most, stored } = add(count);
    const levels = Math.floor(Math.log(count) / Math.log(8) + 1e-9);
    expect(sizeOf(pieces)).toBe(count);
    expect(most).toBeLessThanOrEqual(7 * (levels + 1));
    expect(stored / count).toBeLessThanOrEqual(levels + 1);
  });

  it('of one request each are never stored again before there are eight', () => {
    expect(planPiece([{ level: 2 }, { level: 0 }])).toEqual({ keep: 2, level: 0 });
  });
});
