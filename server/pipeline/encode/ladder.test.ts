import * as fc from 'fast-check';
import type { Source, SourceVideo } from '../../media/source.ts';
import { frameRate, ladder, needsFirst, timescale } from './ladder.ts';

const HEIGHTS = [1080, 720, 480, 360];
const video = (width: number, height: number, more: Partial<SourceVideo> = {}): SourceVideo => ({
  ...{ index: 0, codec: 'h264', width, height, codedWidth: width, codedHeight: height, rotation: 0 },
  ...{ frameRate: 25, variableFrameRate: false, interlaced: false, hdr: false, end: 10, ...more },
});
const sizes = (width: number, height: number, heights = HEIGHTS): string[] =>
  ladder(video(width, height), heights).map((r) => `${r.width}x${r.height}`);

describe('ladder', () => {
  it.each([
    ['1080p', 1920, 1080, ['1920x1080', '1280x720', '854x480', '640x360']],
    ['4K', 3840, 2160, ['1920x1080', '1280x720', '854x480', '640x360']],
    ['480p of film', 854, 480, ['854x480', '640x360']],
    ['portrait', 1080, 1920, ['1080x1920', '720x1280', '480x854', '360x640']],
    ['square', 720, 720, ['720x720', '480x480', '360x360']],
    ['between two rungs', 1600, 900, ['1600x900', '1280x720', '854x480', '640x360']],
    ['hardly above a rung', 1300, 730, ['1282x720', '854x480', '642x360']],
    ['below the lowest', 321, 241, ['320x240']],
    ['a strip', 6000, 100, ['4096x68']],
    ['a dot', 1, 1, ['2x2']],
  ])('%s', (_, width, height, expected) => {
    expect(sizes(width, height)).toEqual(expected);
  });

  it('names rungs by their short side and gives them usual bit rates', () => {
    const rungs = ladder(video(1920, 1080), HEIGHTS).map((r) => [r.name, r.maxRate, r.bufferSize]);
    expect(rungs).toEqual([
      ['v1080', 5_000_000, 10_000_000],
      ['v720', 2_720_000, 5_440_000],
      ['v480', 1_480_000, 2_960_000],
      ['v360', 960_000, 1_920_000],
    ]);
    expect(ladder(video(1920, 1080, { frameRate: 60 }), [1080])[0]?.maxRate).toBe(7_000_000);
  });

  it('never enlarges, is never empty, has even sides and falling sizes with different names', () => {
    const side = fc.integer({ min: 1, max: 9000 });
    fc.assert(
      fc.property(
        side,
        side,
        fc.array(fc.integer({ min: 100, max: 4320 }), { maxLength: 6 }),
        (w, h, heights) => {
          const rungs = ladder(video(w, h), heights);
          expect(rungs.length).toBeGreaterThan(0);
          expect(new Set(rungs.map((r) => r.name)).size).toBe(rungs.length);
          for (const [n, r] of rungs.entries()) {
            expect([r.width % 2, r.height % 2]).toEqual([0, 0]);
            expect(r.width).toBeLessThanOrEqual(Math.max(2, w));
            expect(r.height).toBeLessThanOrEqual(Math.max(2, h));
            expect(Math.max(r.width, r.height)).toBeLessThanOrEqual(4096);
            if (n) expect(r.width * r.height).toBeLessThanOrEqual(rungs[n - 1]!.width * rungs[n - 1]!.height);
          }
        },
      ),
    );
  });
});

describe('frame rate', () => {
  it.each([
    [25, '25'],
    [29.97, '30000/1001'],
    [30_000 / 1001, '30000/1001'],
    [23.976, '24000/1001'],
    [59.94, '60000/1001'],
    [60, '60'],
    [119.88, '60000/1001'],
    [120, '60'],
    [240, '60'],
    [12.5, '12500/1000'],
    [1, '5'],
    [0, '30'],
  ])('%s becomes %s', (rate, text) => {
    const found = frameRate(video(640, 360, { frameRate: rate }));
    expect(found.text).toBe(text);
    const [top = 0, bottom = 1] = text.split('/').map(Number);
    expect(found.value).toBeCloseTo(top / bottom, 9);
  });
  it('of a variable one is that of its busy parts', () => {
    const cursed = { frameRate: 7.2, variableFrameRate: true, busyFrameRate: 30 };
    expect(frameRate(video(640, 360, cursed)).text).toBe('30');
  });
});

it.each([
  [25, 12_800],
  [60, 15_360],
  [29.97, 30_000],
  [23.976, 24_000],
  [12.345, 19_752],
])('at %d pictures per second one lasts a whole number of ticks', (rate, ticks) => {
  expect(timescale(frameRate(video(320, 180, { frameRate: rate })))).toBe(ticks);
});

describe('the lowest rung comes first', () => {
  const source = (picture: SourceVideo): Source => ({
    ...{ container: 'mov', size: 1e6, duration: 10, video: picture, audio: [], subtitles: [] },
  });
  it.each([
    ['of a large picture', video(1920, 1080), true, true],
    ['not where all rungs are soon there', video(640, 360), true, false],
    ['not where nobody waits', video(1920, 1080), false, false],
  ])('%s', (_, picture, playSoon, expected) => {
    expect(needsFirst(source(picture), { ladder: HEIGHTS, playSoon })).toBe(expected);
  });
});
