import { averageBandwidth, peakBandwidth } from './bandwidth.ts';

const segments = (...all: [duration: number, bytes: number][]) =>
  all.map(([duration, bytes]) => ({ duration, bytes }));

describe('bit rates', () => {
  it('average over everything', () => {
    expect(averageBandwidth(segments([6, 6000], [2, 1000]))).toBe(7000);
    expect(averageBandwidth([])).toBe(0);
  });
  it('peak in the fastest run of about a target duration', () => {
    expect(peakBandwidth(segments([6, 6000], [6, 12_000], [6, 3000]), 6)).toBe(16_000);
  });
  it('do not peak in a crumb at the end', () => {
    // 0.1 s at 400 kb/s counts only together with the segment before it.
    expect(peakBandwidth(segments([6, 6000], [0.1, 5000]), 6)).toBe(Math.ceil((11_000 * 8) / 6.1));
  });
  it('are the average of a playlist that is shorter than half a target duration', () => {
    expect(peakBandwidth(segments([1, 1000]), 6)).toBe(8000);
  });
});
