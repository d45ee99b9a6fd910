import { createHmac } from 'node:crypto';
import { readWebhook, signatureOf } from './webhook.ts';

const SECRET = 'secret from the Cloudflare API';
const BODY = Buffer.from('{"uid":"x"}');
const TIME = 1_230_811_200;
const NOW = TIME * 1000;
/** Of the documentation. */
const VECTOR = '5b0adefa1a6fcd724e259404d7a8b7729f0fcc1fc96fffdcd90d89a01c38da21';

const read = (header: unknown, { secrets = [SECRET], body = BODY, now = NOW } = {}) =>
  readWebhook(body, { 'webhook-signature': header }, secrets, now).verdict;

describe('Webhook-Signature', () => {
  it('is computed as documented', () => {
    expect(signatureOf(SECRET, String(TIME), BODY)).toBe(VECTOR);
    expect(read(`time=${TIME},sig1=${VECTOR}`)).toBe('genuine');
  });

  it.each([
    ['nothing', undefined],
    ['no time', `sig1=${VECTOR}`],
    ['no signature', `time=${TIME}`],
    ['another signature', `time=${TIME},sig1=${VECTOR.replace('5', '6')}`],
    ['a shorter signature', `time=${TIME},sig1=${VECTOR.slice(1)}`],
    ['another time', `time=${TIME + 1},sig1=${VECTOR}`],
    ['two headers', [`time=${TIME},sig1=${VECTOR}`]],
  ])('is refused with %s', (_what, header) => {
    expect(read(header)).toBe('forged');
  });

  it('counts for five minutes, before and after', () => {
    const header = `time=${TIME},sig1=${VECTOR}`;
    expect(read(header, { now: NOW + 300_000 })).toBe('genuine');
    expect(read(header, { now: NOW - 300_000 })).toBe('genuine');
    expect(read(header, { now: NOW + 300_001 })).toBe('forged');
    expect(read(header, { now: NOW - 300_001 })).toBe('forged');
  });

  it('may be of the secret before', () => {
    expect(read(`time=${TIME},sig1=${VECTOR}`, { secrets: ['the new one', SECRET] })).toBe('genuine');
    expect(read(`time=${TIME},sig1=${VECTOR}`, { secrets: ['the new one'] })).toBe('forged');
    expect(read(`time=${TIME},sig1=${VECTOR}`, { secrets: [] })).toBe('forged');
  });

  it('is of the bytes as they came', () => {
    const body = Buffer.from('{ "uid": "x" }');
    expect(read(`time=${TIME},sig1=${VECTOR}`, { body })).toBe('forged');
  });

  it.each(['nonsense', '{}', 'null', '[]', '{"uid":1}', '{"uid":"../x"}'])(
    'does not save the body %s',
    (text) => {
      const sig = createHmac('sha256', SECRET).update(`${TIME}.${text}`).digest('hex');
      expect(read(`time=${TIME},sig1=${sig}`, { body: Buffer.from(text) })).toBe('malformed');
    },
  );
});
