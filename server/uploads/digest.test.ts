import fc from 'fast-check';
import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { AppError } from '../errors.ts';
import { readBodyDigest } from './digest.ts';

const bytes = Buffer.from('{"hello": "world"}\n');
const of = (algorithm: string, body = bytes) => createHash(algorithm).update(body).digest('base64');

/** The code of what is wrong with a body, `ok`, or `none` when nothing was promised. */
function verdict(headers: IncomingHttpHeaders, body = bytes, trailers = {}): string {
  try {
    const digest = readBodyDigest({ headers });
    if (!digest) return 'none';
    digest.update(body.subarray(0, 3));
    digest.update(body.subarray(3));
    return digest.end(trailers)?.code ?? 'ok';
  } catch (error) {
    return (error as AppError).code;
  }
}

it('takes the digests of RFC 9530, appendix B', () => {
  const content = 'sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:';
  const body = Buffer.from('{"hello": "world"}');
  expect(verdict({ 'content-digest': content }, body)).toBe('ok');
  expect(verdict({ 'content-digest': content }, bytes)).toBe('digest_mismatch');
});

it.each([
  [{}, 'none'],
  [{ 'upload-checksum': `sha1 ${of('sha1')}` }, 'ok'],
  [{ 'upload-checksum': `sha256 ${of('sha256')}` }, 'ok'],
  [{ 'upload-checksum': `md5 ${of('md5')}` }, 'ok'],
  [{ 'upload-checksum': `sha256 ${of('sha256', Buffer.from('x'))}` }, 'checksum_mismatch'],
  [{ 'upload-checksum': `sha-1 ${of('sha1')}` }, 'checksum_unsupported'],
  [{ 'upload-checksum': `sha1  ${of('sha1')}` }, 'checksum_invalid'],
  [{ 'upload-checksum': 'sha1' }, 'checksum_invalid'],
  [{ 'upload-checksum': 'sha1 AAAA' }, 'digest_invalid'],
  [{ 'content-digest': `sha-512=:${of('sha512')}:, sha-256=:${of('sha256')}:;a=1` }, 'ok'],
  [{ 'content-digest': `sha-512=:${of('sha512')}:, sha-256=:${of('sha512')}:` }, 'digest_invalid'],
  [{ 'content-digest': `sha-256=:${of('sha256')}:, md5=:${of('md5', Buffer.alloc(1))}:` }, 'digest_mismatch'],
  [{ 'content-digest': 'sha-3=:AAAA:' }, 'none'],
  [{ 'content-digest': `sha-3=:AAAA:,sha=:${of('sha1')}:` }, 'ok'],
  [{ 'content-digest': `sha-256=${of('sha256')}` }, 'digest_invalid'],
  [{ 'content-digest': '' }, 'digest_invalid'],
])('%j is %s', (headers, code) => {
  expect(verdict(headers)).toBe(code);
});

it('computes crc32 big-endian', () => {
  expect(verdict({ 'upload-checksum': 'crc32 y/Q5Jg==' }, Buffer.from('123456789'))).toBe('ok'); // 0xCBF43926
});

it('takes a checksum out of the trailer', () => {
  const headers = { trailer: 'Upload-Checksum' };
  expect(verdict(headers, bytes, { 'upload-checksum': `md5 ${of('md5')}` })).toBe('ok');
  expect(verdict(headers, bytes, { 'upload-checksum': `md5 ${of('md5', Buffer.alloc(2))}` })).toBe(
    'checksum_mismatch',
  );
  expect(verdict(headers, bytes, {})).toBe('checksum_invalid');
});

it('answers any header with 400, or none', () => {
  fc.assert(
    fc.property(fc.string(), fc.constantFrom('upload-checksum', 'content-digest'), (value, name) => {
      try {
        readBodyDigest({ headers: { [name]: value } });
      } catch (error) {
        expect(error).toBeInstanceOf(AppError);
        expect((error as AppError).status).toBe(400);
      }
    }),
  );
});
