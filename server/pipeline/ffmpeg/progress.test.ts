import { percentOf, progressReader, type FfmpegProgress } from './progress.ts';

function read(text: string): FfmpegProgress[] {
  const blocks: FfmpegProgress[] = [];
  const take = progressReader((block) => blocks.push(block));
  for (const line of text.split('\n')) take(line);
  return blocks;
}

describe('progress', () => {
  it('is read block by block', () => {
    const text =
      'frame=52\nfps=0.00\nout_time_us=2240000\nspeed=5.18x\nprogress=continue\nframe=60\nout_time_us=2';
    expect(read(text)).toEqual([{ seconds: 2.24, frames: 52, speed: 5.18 }]);
  });
  it('knows what is not known yet', () => {
    const text =
      'out_time_us=N/A\nspeed=N/A\nprogress=continue\nout_time_us=-9223372036854775807\nspeed=   0x\nprogress=end';
    expect(read(text)).toEqual([
      { seconds: undefined, frames: undefined, speed: undefined },
      { seconds: undefined, frames: undefined, speed: 0 },
    ]);
  });
  it('becomes a percentage that never falls nor reaches 100', () => {
    const percent = percentOf(30);
    expect([3, 10, 9, 29.99, 31].map(percent)).toEqual([10, 33.3, 33.3, 99.9, 99.9]);
    expect(percentOf(0)(5)).toBe(0);
  });
});
