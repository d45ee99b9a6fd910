import { nearestBefore, planStoryboard, sheetOf, storyboardVtt, vttTime } from './storyboard.ts';

const WIDE = { width: 640, height: 360 };

describe('planStoryboard', () => {
  it.each([
    [0.04, 1, 2, 1],
    [7, 4, 2, 1],
    [200, 100, 2, 4],
    [43_200, 100, 432, 4],
  ])('of %d s has %d tiles of %d s on %d sheets', (duration, tiles, interval, sheets) => {
    const plan = planStoryboard(duration, WIDE);
    expect(plan).toMatchObject({ tiles, interval, sheets, width: 240, height: 136 });
    expect(plan.times).toHaveLength(tiles);
    expect(plan.times.every((time) => time > 0 && time < duration)).toBe(true);
  });

  it.each([
    [
      { width: 202, height: 360 },
      { width: 134, height: 240 },
    ],
    [
      { width: 1000, height: 10 },
      { width: 240, height: 2 },
    ],
    [
      { width: 98, height: 66 },
      { width: 98, height: 66 },
    ],
    [
      { width: 360, height: 360 },
      { width: 136, height: 136 },
    ],
  ])('fits %j into %j', (video, tile) => {
    expect(planStoryboard(10, video)).toMatchObject(tile);
  });
});

it('names every tile once, on its sheet', () => {
  const plan = planStoryboard(104.5, WIDE);
  expect([plan.tiles, plan.sheets]).toEqual([53, 3]);
  expect([0, 1, 2].map((n) => sheetOf(plan, n))).toEqual([
    { first: 0, tiles: 25, columns: 5, rows: 5 },
    { first: 25, tiles: 25, columns: 5, rows: 5 },
    { first: 50, tiles: 3, columns: 5, rows: 1 },
  ]);
  const vtt = storyboardVtt(plan, 104.5);
  expect(vtt).toContain('00:00:12.000 --> 00:00:14.000\nstoryboard-1.webp#xywh=240,136,240,136\n');
  expect(vtt).toContain('00:01:44.000 --> 00:01:44.500\nstoryboard-3.webp#xywh=480,0,240,136\n');
  expect(new Set(vtt.match(/storyboard-.*/g)).size).toBe(53);
});

it('takes the frame that is on screen', () => {
  const frames = [{ time: 0 }, { time: 2 }, { time: 4 }];
  expect([-1, 1.9, 2, 99].map((time) => nearestBefore(frames, time).time)).toEqual([0, 0, 2, 4]);
});

it('writes times as WebVTT does', () => {
  expect([0, 59.9996, 3_599.5, 360_000.001].map(vttTime)).toEqual([
    '00:00:00.000',
    '00:01:00.000',
    '00:59:59.500',
    '100:00:00.001',
  ]);
});
