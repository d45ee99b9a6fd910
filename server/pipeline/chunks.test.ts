import * as fc from 'fast-check';
import { lengthOf, planChunks, rangeFilters, seekOptions } from './chunks.ts';
import type { FrameRate } from './ladder.ts';

const RATES: FrameRate[] = [
  { value: 24, text: '24' },
  { value: 24_000 / 1001, text: '24000/1001' },
  { value: 30_000 / 1001, text: '30000/1001' },
  { value: 12.345, text: '12345/1000' },
  { value: 60, text: '60' },
];
const NTSC = RATES[2]!;

describe('chunks', () => {
  it('hold every frame once, begin where a segment begins, and are never much shorter or longer than asked', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...RATES),
        fc.double({ min: 0.1, max: 5_000, noNaN: true }),
        fc.constantFrom(12, 60, 120),
        (rate, duration, seconds) => {
          const chunks = planChunks(duration, rate, { headSeconds: 6, chunkSeconds: seconds });
          const ends = chunks.map(({ endFrame }) => endFrame);
          expect(chunks.map(({ firstFrame }) => firstFrame)).toEqual([0, ...ends.slice(0, -1)]);
          expect(ends.at(-1)).toBeUndefined();
          for (const chunk of chunks) {
            if (chunk.seekFrame > chunk.firstFrame || chunk.lateness < -1e-6) throw new Error('too late');
            if (chunk.lateness >= 1 / rate.value) throw new Error('a frame is missing');
          }
          const last = duration - (chunks.at(-1)?.start ?? 0);
          if (chunks.length > 2) expect(last).toBeGreaterThanOrEqual(seconds * 0.499);
          expect(last).toBeLessThanOrEqual(seconds * 1.501);
        },
      ),
    );
  });

  it('seek a little before their first frame, and count from there', () => {
    const [head, second, third] = planChunks(130, NTSC, { headSeconds: 6, chunkSeconds: 60 });
    expect(seekOptions(head!, NTSC)).toEqual([]);
    expect(rangeFilters(head!)).toEqual(['trim=start_frame=0:end_frame=180', 'setpts=PTS+0']);
    expect(second).toMatchObject({ firstFrame: 180, endFrame: 1799, firstSegment: 3 }); // three of 2 s
    expect(third).toMatchObject({ firstFrame: 1799, endFrame: undefined, firstSegment: 12 }); // nine of 6 s
    expect(seekOptions(third!, NTSC)).toEqual(['-ss', '59.692966']); // 1789 * 1001 / 30000 = 59.6929666…
    expect(rangeFilters(third!)).toEqual(['trim=start_frame=10', 'setpts=PTS+1789']);
    expect(lengthOf(second!, NTSC)).toBeCloseTo((1619 * 1001) / 30_000, 9);
  });
});
