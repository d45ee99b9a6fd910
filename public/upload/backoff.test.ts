import { ceilingMs, fullJitterMs, retryAfterMs } from './backoff.ts';

describe('full jitter', () => {
  it('doubles its ceiling up to 30 s', () => {
    expect([0, 1, 2, 5, 6, 50].map(ceilingMs)).toEqual([500, 1000, 2000, 16_000, 30_000, 30_000]);
  });

  it('draws from the whole range, zero included', () => {
    expect(fullJitterMs(3, () => 0)).toBe(0);
    expect(fullJitterMs(3, () => 0.5)).toBe(2000);
    expect(fullJitterMs(3, () => 1)).toBe(4000);
  });

  it('draws anew each time', () => {
    const draws = new Set(Array.from({ length: 50 }, () => fullJitterMs(10)));
    expect(draws.size).toBeGreaterThan(25);
  });
});

describe('Retry-After', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');

  it('is seconds or a date', () => {
    expect(retryAfterMs('7')).toBe(7000);
    expect(retryAfterMs('Thu, 01 Jan 2026 00:00:20 GMT', now)).toBe(20_000);
  });

  it('is nothing when absent, past or not understood, and never absurd', () => {
    expect(retryAfterMs(null)).toBe(0);
    expect(retryAfterMs('Wed, 31 Dec 2025 00:00:00 GMT', now)).toBe(0);
    expect(retryAfterMs('soon')).toBe(0);
    expect(retryAfterMs('99999999')).toBe(600_000);
  });
});
