import * as fc from 'fast-check';
import { chunkOf, lengthOf, rangeFilter, seekOptions, stretches, threadsOf } from './chunks.ts';
import { segmentAt } from '../encode/cuts.ts';
import type { FrameRate } from '../encode/ladder.ts';

const RATES: FrameRate[] = [
  { value: 24, text: '24' },
  { value: 24_000 / 1001, text: '24000/1001' },
  { value: 30_000 / 1001, text: '30000/1001' },
  { value: 12.345, text: '12345/1000' },
  { value: 60, text: '60' },
];
const NTSC = RATES[2]!;

const secondsOf = fc.double({ min: 24, max: 5_000, noNaN: true });

/** Seconds until the last of `atOnce` encoders ends, of which each takes the next stretch when it is free. */
function span(lengths: readonly number[], atOnce: number): number {
  const free = Array.from({ length: atOnce }, () => 0);
  for (const length of lengths) free[free.indexOf(Math.min(...free))]! += length;
  return Math.max(...free);
}

describe('stretches', () => {
  const plans = fc.record({
    duration: secondsOf,
    longest: fc.constantFrom(12, 60, 120),
    atOnce: fc.integer({ min: 2, max: 16 }),
    threads: fc.constantFrom(0, 1),
  });
  /** Of a picture with a key frame every so many seconds. */
  const runUpOf =
    (seconds: number) =>
    (start: number): number =>
      start % seconds;

  it('follow each other, begin where a segment begins, and are as long as they may be', () => {
    fc.assert(
      fc.property(plans, ({ duration, ...limits }) => {
        const plan = stretches(duration, limits);
        expect(plan.map(({ start }) => start)).toEqual([0, ...plan.slice(0, -1).map(({ end }) => end)]);
        expect(plan.at(-1)?.end).toBeUndefined();
        const lengths = plan.map(({ start, end = duration }) => end - start);
        expect(Math.min(...lengths)).toBeGreaterThan(0);
        expect(Math.max(...lengths)).toBeLessThanOrEqual(limits.longest + 6);
        expect(plan.filter(({ start }) => start % 6 !== 0)).toEqual([plan[1]]);
        expect(segmentAt(plan[1]!.start)).toBe(3);
      }),
    );
  });

  it('keep all encoders busy to the end', () => {
    fc.assert(
      fc.property(plans, ({ duration, ...limits }) => {
        const lengths = stretches(duration, limits).map(({ start, end = duration }) => end - start);
        expect(span(lengths, limits.atOnce)).toBeLessThan(duration / limits.atOnce + 12);
      }),
    );
  });

  it('begin soon after key frames, where there are few', () => {
    fc.assert(
      fc.property(plans, fc.double({ min: 3, max: 15, noNaN: true }), ({ duration, ...limits }, seconds) => {
        const runUp = runUpOf(seconds);
        const plan = stretches(duration, { ...limits, runUp });
        expect(plan.slice(2).filter(({ start }) => start % 6 !== 0 || start >= duration)).toEqual([]);
        const lengths = plan.map(({ start, end = duration }) => end - start);
        expect(Math.min(...lengths)).toBeGreaterThan(0);
        expect(Math.max(...lengths)).toBeLessThanOrEqual(1.5 * limits.longest + 6);
      }),
    );
    const limits = { longest: 60, atOnce: 2, threads: 0 };
    const startsOf = (duration: number, seconds: number): number[] =>
      stretches(duration, { ...limits, runUp: runUpOf(seconds) }).map(({ start }) => start);
    expect(startsOf(30, 2)).toEqual([0, 2, 12, 18, 24]);
    expect(startsOf(30, 25 / 3)).toEqual([0, 2, 18]); // 16.7 s
    expect(startsOf(132, 25 / 3)).toEqual([0, 2, 18, 42, 84, 102, 120, 126]); // 16.7, 41.7, 83.3, 100, 116.7, 125 s
  });

  it('get longer from the start, so that what is watched is there in time', () => {
    const plan = stretches(7_200, { longest: 60, atOnce: 4, threads: 0 });
    expect(plan.slice(0, 6).map(({ start }) => start)).toEqual([0, 2, 12, 24, 48, 96]);
  });
});

describe('threads of a chunk', () => {
  const short = { length: 6, left: 600 };
  const threads = (
    processors: number,
    settings = { partThreads: 0, chunkThreads: 1 },
    share = short,
  ): number[] => [20, 4, 3, 2, 1].map((jobs) => threadsOf(jobs, { processors, ...settings }, share));

  it('are more for the last ones, unless there is a setting', () => {
    expect(threads(2)).toEqual([1, 1, 1, 2, 2]);
    expect(threads(8)).toEqual([1, 4, 5, 8, 8]);
    expect(threads(64)).toEqual([6, 16, 16, 16, 16]);
    expect(threads(8, { partThreads: 0, chunkThreads: 4 })).toEqual([4, 4, 5, 8, 8]);
    expect(threads(8, { partThreads: 3, chunkThreads: 3 })).toEqual([3, 3, 3, 3, 3]);
  });

  it('are its share of what is left, unless many others wait', () => {
    expect(threads(2, undefined, { length: 16, left: 28 })).toEqual([1, 2, 2, 2, 2]);
    expect(threads(2, undefined, { length: 10, left: 28 })).toEqual([1, 1, 1, 2, 2]);
    expect(threads(8, undefined, { length: 18, left: 24 })).toEqual([6, 6, 6, 8, 8]);
    expect(threads(8, { partThreads: 1, chunkThreads: 1 }, { length: 18, left: 24 })).toEqual([
      1, 1, 1, 1, 1,
    ]);
  });
});

describe('chunks', () => {
  it('hold every frame once', () => {
    fc.assert(
      fc.property(fc.constantFrom(...RATES), secondsOf, (rate, duration) => {
        const chunks = stretches(duration, { longest: 60, atOnce: 2, threads: 0 }).map((part) =>
          chunkOf(part, rate),
        );
        const ends = chunks.map(({ endFrame }) => endFrame);
        expect(chunks.map(({ firstFrame }) => firstFrame)).toEqual([0, ...ends.slice(0, -1)]);
        expect(ends.at(-1)).toBeUndefined();
        for (const chunk of chunks) {
          if (chunk.seekFrame > chunk.firstFrame || chunk.lateness < -1e-6) throw new Error('too late');
          if (chunk.lateness >= 1 / rate.value) throw new Error('a frame is missing');
        }
      }),
    );
  });

  it('seek a little before their first frame, and count from there', () => {
    const head = chunkOf({ start: 0, end: 6 }, NTSC);
    const second = chunkOf({ start: 6, end: 60 }, NTSC);
    const third = chunkOf({ start: 60 }, NTSC);
    expect(seekOptions(head, NTSC)).toEqual([]);
    expect(rangeFilter(head)).toBe('trim=start_frame=0:end_frame=180');
    expect(second).toMatchObject({ firstFrame: 180, endFrame: 1799, firstSegment: 5 }); // of ½, ½, 1, 2 and 2 s
    expect(third).toMatchObject({ firstFrame: 1799, endFrame: undefined, firstSegment: 15 }); // of 2, of 4, and eight of 6 s
    expect(seekOptions(third, NTSC)).toEqual(['-copyts', '-start_at_zero', '-ss', '59.692966']); // 1789 * 1001 / 30000 = 59.6929666…
    expect(rangeFilter(third)).toBe('trim=start_frame=10');
    expect(lengthOf(second, NTSC)).toBeCloseTo((1619 * 1001) / 30_000, 9);
  });
});
