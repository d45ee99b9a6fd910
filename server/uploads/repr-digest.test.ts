import { createHash } from 'node:crypto';
import { objectDigest, preferred, readReprDigest } from './repr-digest.ts';

const bytes = Buffer.from('{"hello": "world"}\n');
const member = (name: string, algorithm: string) =>
  `${name}=:${createHash(algorithm).update(bytes).digest('base64')}:`;
const [SHA256, SHA512, MD5] = [
  member('sha-256', 'sha256'),
  member('sha-512', 'sha512'),
  member('md5', 'md5'),
];

it.each([
  [{}, null],
  [{ 'repr-digest': `${SHA256}, nope=:AAAA:, ${SHA512}` }, `${SHA256}, ${SHA512}`],
  [{ 'repr-digest': 'nope=:AAAA:' }, null],
  [{ 'want-repr-digest': 'sha-256=3, sha-512=10, nope=10' }, 'sha-512'],
  [{ 'want-repr-digest': 'nope=10' }, null],
  [{ 'repr-digest': SHA256, 'want-repr-digest': 'sha-256=1' }, SHA256],
  [{ 'repr-digest': SHA256, 'want-repr-digest': 'md5=1' }, `${SHA256}, md5`],
])('keeps of %j what it can compute', (headers, kept) => {
  expect(readReprDigest(headers)).toBe(kept);
});

it.each([
  ['sha-256=1', 'sha-256'],
  ['sha=4, sha-256=4', 'sha'],
  ['sha-256=0', undefined],
  ['sha-256=0, md5=1', 'md5'],
  ['sha-256', undefined],
  ['sha-256=:AAAA:', undefined],
  ['', undefined],
])('prefers of %j %p', (value, name) => {
  expect(preferred(value)).toBe(name);
});

it('compares an object with what it must be, and finds out what is wanted', () => {
  const whole = objectDigest(`${SHA256}, md5`);
  whole.update(bytes.subarray(0, 3));
  whole.update(bytes.subarray(3));
  expect(whole.end()).toEqual({ found: `${SHA256}, ${MD5}` });
  expect(objectDigest(`${SHA256}, md5`).end().failure?.code).toBe('digest_mismatch');
});
