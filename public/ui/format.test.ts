import { ago, bitrate, duration, percent, size, timeLeft } from './format.ts';

describe('format', () => {
  it.each([
    [0, '0 bytes'],
    [1, '1 byte'],
    [1023, '1023 bytes'],
    [1536, '1.5 KB'],
    [20 * 1024 ** 2, '20 MB'],
    [64 * 1024 ** 3, '64 GB'],
  ])('size of %d is %s', (bytes, text) => expect(size(bytes)).toBe(text));

  it.each([
    [0, '0:00'],
    [65.4, '1:05'],
    [3723, '1:02:03'],
  ])('duration of %d s is %s', (seconds, text) => expect(duration(seconds)).toBe(text));

  it('never says 100% early', () => {
    expect(percent(99.96)).toBe('99%');
    expect(percent(100)).toBe('100%');
  });

  it('rounds what is left', () => {
    expect(timeLeft(3)).toBe('a few seconds left');
    expect(timeLeft(42)).toBe('45 s left');
    expect(timeLeft(300)).toBe('5 min left');
  });

  it('says how long ago', () => {
    const now = Date.parse('2026-01-02T12:00:00Z');
    expect(ago(now - 10_000, now)).toBe('just now');
    expect(ago('2026-01-02T11:50:00Z', now)).toBe('10 min ago');
    expect(ago(now - 3 * 3600_000, now)).toBe('3 h ago');
  });

  it('says bits per second', () => {
    expect(bitrate(2_420_000)).toBe('2.4 Mbit/s');
    expect(bitrate(96_000)).toBe('96 kbit/s');
  });
});
