import { checkSourceToken, sourceToken, type SourceKeys } from './source-tokens.ts';

const key = (fill: number): Uint8Array => Buffer.alloc(32, fill);
const keys: SourceKeys = [key(1)];
const ID = '01a1fd5c-1713-726f-971a-d38e218f6ae1';
const DAY = 86_400_000;

describe('a source token', () => {
  it('names its attempt until it expires, with a minute for clocks that differ', () => {
    const token = sourceToken(keys, ID, DAY, 1_000);
    expect(token).toMatch(/^[\w-]+\.[\w-]+$/);
    expect(checkSourceToken(keys, token, 1_000 + DAY + 59_999)).toEqual({ verdict: 'valid', attemptId: ID });
    expect(checkSourceToken(keys, token, 1_000 + DAY + 60_000)).toEqual({
      verdict: 'expired',
      attemptId: ID,
    });
  });

  it('survives one rotation of the key, and not two', () => {
    const token = sourceToken(keys, ID, DAY);
    expect(checkSourceToken([key(2), key(1)], token).verdict).toBe('valid');
    expect(checkSourceToken([key(3), key(2)], token).verdict).toBe('forged');
  });

  it('can not be changed, in no character', () => {
    const token = sourceToken(keys, ID, DAY);
    for (let i = 0; i < token.length; i++) {
      const other = token[i] === 'A' ? 'B' : 'A';
      expect(checkSourceToken(keys, token.slice(0, i) + other + token.slice(i + 1)).verdict).toBe('forged');
    }
  });

  it.each(['', '.', 'a.b', '../..', `${'a'.repeat(300)}.${'b'.repeat(43)}`])('is not “%s”', (text) => {
    expect(checkSourceToken(keys, text)).toEqual({ verdict: 'forged' });
  });

  it('is not the signature of a token for another attempt', () => {
    const [text] = sourceToken(keys, ID, DAY).split('.');
    const [, signature] = sourceToken(keys, ID.replace('1', '2'), DAY).split('.');
    expect(checkSourceToken(keys, `${text}.${signature}`).verdict).toBe('forged');
  });
});
