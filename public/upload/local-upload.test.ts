import { createSpeedometer } from './local-upload.ts';

describe('speedometer', () => {
  it('measures over samples and starts anew after a step back', () => {
    let time = 0;
    const speed = createSpeedometer(() => time);
    expect(speed(0)).toBeUndefined();
    time = 400;
    expect(speed(50_000)).toBeUndefined();
    time = 1000;
    expect(speed(100_000)).toBe(100_000);
    time = 2000;
    expect(speed(300_000)).toBeCloseTo(130_000);
    time = 3000;
    expect(speed(10_000)).toBeUndefined();
  });
});
