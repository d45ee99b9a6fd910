import { readSession, sessionCookie, sessionValue } from './session.ts';
import { checkPlaybackToken, playbackToken } from './signed-urls.ts';

const secret = Buffer.alloc(32, 1);
const other = Buffer.alloc(32, 2);
const HOUR = 3_600_000;

/** The text with its last character but `back` replaced by another one. */
const altered = (text: string, back = 1): string => {
  const at = text.length - 1 - back;
  return text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);
};

describe('sessions', () => {
  const value = sessionValue(secret, 'key-1', 1_000_000);

  it('name their key until they expire', () => {
    expect(readSession(secret, value, 999_999)).toBe('key-1');
    expect(readSession(secret, value, 1_000_000)).toBeUndefined();
  });

  it.each([
    ['another secret', sessionValue(other, 'key-1', 1_000_000)],
    ['another key', value.replace('key-1', 'key-2')],
    ['a later expiry', value.replace((1_000_000).toString(36), (9_000_000).toString(36))],
    ['an altered signature', altered(value)],
    ['a playback token', playbackToken(secret, 'key-1', HOUR)],
    ['more parts', `${value}.x`],
    ['nothing', ''],
  ])('are refused with %s', (_, forged) => expect(readSession(secret, forged, 0)).toBeUndefined());

  it('are found among other cookies', () => {
    expect(sessionCookie(`theme=dark; millrace_session=${value}; x=y`)).toBe(value);
    expect(sessionCookie(`not_millrace_session=${value}`)).toBeUndefined();
    expect(sessionCookie(undefined)).toBeUndefined();
  });
});

describe('playback tokens', () => {
  const now = 1_700_000_000_000;
  const token = playbackToken(secret, 'media-1', HOUR, now);

  it('last at least as long as they should, and not much longer', () => {
    expect(checkPlaybackToken(secret, token, 'media-1', now + HOUR - 1)).toBe('valid');
    expect(checkPlaybackToken(secret, token, 'media-1', now + 1.1 * HOUR)).toBe('expired');
  });

  it('stay the same for a while, so that addresses can be cached', () => {
    const tokens = [0, 1, 2, 3].map((s) => playbackToken(secret, 'media-1', HOUR, now + s * 1000));
    expect(new Set(tokens).size).toBeLessThanOrEqual(2);
  });

  it.each([
    ['another media', token, 'media-2'],
    ['another secret', playbackToken(other, 'media-1', HOUR, now), 'media-1'],
    ['an altered signature', altered(token), 'media-1'],
    ['a later expiry', token.replace(/^./, (c) => (c === 'z' ? 'y' : 'z')), 'media-1'],
    ['a session', sessionValue(secret, 'media-1', now + HOUR), 'media-1'],
    ['nothing', '', 'media-1'],
  ])('are worth nothing for %s', (_, given, media) =>
    expect(checkPlaybackToken(secret, given, media, now)).toBe('forged'),
  );
});
