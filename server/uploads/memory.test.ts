import { giveBack } from './memory.ts';

describe('memory of bodies', () => {
  it('is free at once', () => {
    const pieces = Array.from({ length: 64 }, () => Buffer.alloc(1024 * 1024, 1));
    const { arrayBuffers: before } = process.memoryUsage();
    giveBack(pieces);
    expect(before - process.memoryUsage().arrayBuffers).toBe(64 * 1024 * 1024);
    expect(pieces.map(({ length }) => length)).toEqual(pieces.map(() => 0));
  });

  it('is left alone where somebody else has a part of it', () => {
    const whole = Buffer.alloc(100, 7);
    giveBack([whole.subarray(0, 50), Buffer.from('of a pool')]);
    expect(whole.every((byte) => byte === 7)).toBe(true);
    expect(Buffer.from('of a pool').toString()).toBe('of a pool');
  });

  it('may be given back twice', () => {
    const piece = Buffer.alloc(100);
    giveBack([piece]);
    expect(() => giveBack([piece])).not.toThrow();
  });
});
