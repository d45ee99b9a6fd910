import { backoffMs } from './backoff.ts';

it('doubles from 15 s to an hour', () => {
  const most = [1, 2, 3, 8, 9, 100, 5000].map((attempts) => backoffMs(attempts, () => 1));
  expect(most).toEqual([15_000, 30_000, 60_000, 1_920_000, 3_600_000, 3_600_000, 3_600_000]);
});

it('spreads over the upper half', () => {
  expect(backoffMs(1, () => 0)).toBe(7_500);
  expect(backoffMs(1, () => 0.5)).toBe(11_250);
  for (let i = 0; i < 100; i++) {
    expect(backoffMs(2)).toBeGreaterThanOrEqual(15_000);
    expect(backoffMs(2)).toBeLessThanOrEqual(30_000);
  }
});
