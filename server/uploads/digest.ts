/**
 * Digests of a request's body that clients send along: tus `Upload-Checksum`, RFC 9530 `Content-Digest`. Those of the
 * whole object are in repr-digest.ts.
 *
 * `readBodyDigest(request)` is what `Receiving.receive` calls for every protocol. Its `BodyDigest` goes into the
 * `RequestBody`, and nothing of such a body is committed before all of it arrived and matched.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { crc32 } from 'node:zlib';
import { AppError } from '../errors.ts';
import { bad } from './problems.ts';

export type Algorithm = 'sha1' | 'sha256' | 'sha512' | 'md5' | 'crc32';

export interface Expected {
  algorithm: Algorithm;
  value: Buffer;
}

/** Bytes of a digest. */
const SIZES: Record<Algorithm, number> = { sha1: 20, sha256: 32, sha512: 64, md5: 16, crc32: 4 };
/** Names in `Upload-Checksum` and `Tus-Checksum-Algorithm`. */
export const CHECKSUM_ALGORITHMS = Object.keys(SIZES) as readonly Algorithm[];
/** RFC 9530, section 7.2: the names of its registry that we compute. Others are passed over. */
export const FIELD_NAMES = new Map<string, Algorithm>([
  ['sha-256', 'sha256'],
  ['sha-512', 'sha512'],
  ['sha', 'sha1'],
  ['md5', 'md5'],
]);
/** A member of a Dictionary (RFC 9651) that is a Byte Sequence; its parameters mean nothing here. */
const MEMBER =
  /^([a-z*][a-z0-9_\-.*]*)=:([A-Za-z0-9+/]*={0,2}):(?:;[ ]*[a-z*][a-z0-9_\-.*]*(?:=[^,;"]*|="[^"\\]*")?)*$/;
/** draft-ietf-httpapi-digest-fields-problem-types */
const PROBLEMS = 'https://iana.org/assignments/http-problem-types';

/** Compares bytes as they pass with the digests that were promised of them. */
export class BodyDigest {
  readonly #hashes: Map<Algorithm, Running>;
  readonly #expected: (trailers: NodeJS.Dict<string>) => Expected[];
  readonly #mismatch: () => AppError;
  #failure: AppError | undefined;

  /** `expected` is called at the end, for digests that come in a trailer; it may throw. */
  constructor(
    algorithms: Iterable<Algorithm>,
    expected: (trailers: NodeJS.Dict<string>) => Expected[],
    mismatch: () => AppError,
  ) {
    this.#hashes = new Map([...algorithms].map((algorithm) => [algorithm, running(algorithm)]));
    this.#expected = expected;
    this.#mismatch = mismatch;
  }

  update(bytes: Buffer): void {
    for (const hash of this.#hashes.values()) hash.update(bytes);
  }

  /** The last byte was there. What is wrong, if anything is. */
  end(trailers: NodeJS.Dict<string> = {}): AppError | undefined {
    try {
      const found = new Map([...this.#hashes].map(([algorithm, hash]) => [algorithm, hash.digest()]));
      const matches = this.#expected(trailers).every(({ algorithm, value }) =>
        found.get(algorithm)?.equals(value),
      );
      if (!matches) this.#failure = this.#mismatch();
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      this.#failure = error;
    }
    return this.#failure;
  }
}

/** What a request promises of its body, by whichever header; undefined for nothing. Throws 400. */
export function readBodyDigest({ headers }: Pick<IncomingMessage, 'headers'>): BodyDigest | undefined {
  const checksum = single(headers['upload-checksum']);
  const content = single(headers['content-digest']);
  const fixed = [
    ...(checksum === undefined ? [] : readChecksum(checksum)),
    ...(content === undefined ? [] : readDigests('Content-Digest', content)),
  ];
  const mismatch = checksum === undefined ? mismatchingDigest : checksumMismatch;
  // "If the hash cannot be calculated at the beginning of the upload, it MAY be included as a trailer."
  if (/(^|,)\s*upload-checksum\s*(,|$)/i.test(headers.trailer ?? ''))
    return new BodyDigest(
      CHECKSUM_ALGORITHMS,
      (trailers) => [...fixed, ...readChecksum(trailers['upload-checksum'] ?? '')],
      checksumMismatch,
    );
  if (!fixed.length) return undefined;
  return new BodyDigest(
    fixed.map(({ algorithm }) => algorithm),
    () => fixed,
    mismatch,
  );
}

/** tus 1.0, checksum: "the name of the used checksum algorithm and the Base64 encoded checksum separated by a space". */
function readChecksum(value: string): Expected[] {
  const [, name, encoded = ''] = /^(\S+) ([A-Za-z0-9+/]+={0,2})$/.exec(value.trim()) ?? [];
  if (name === undefined)
    throw bad('checksum_invalid', 'Upload-Checksum must be an algorithm and a Base64 value.');
  const algorithm = CHECKSUM_ALGORITHMS.find((known) => known === name);
  // "400 Bad Request if the checksum algorithm is not supported by the server"
  if (!algorithm)
    throw bad('checksum_unsupported', `Upload-Checksum takes ${CHECKSUM_ALGORITHMS.join(', ')}.`);
  return [{ algorithm, value: sized('Upload-Checksum', algorithm, encoded) }];
}

/** A field of RFC 9530, section 2: unknown algorithms are passed over. Throws 400. */
export function readDigests(field: string, value: string): Expected[] {
  return value.split(',').flatMap((member) => {
    const [, name, encoded] = MEMBER.exec(member.trim()) ?? [];
    if (name === undefined || encoded === undefined)
      throw invalidDigest(`${field} must look like sha-256=:…:, with Base64 between the colons.`);
    const algorithm = FIELD_NAMES.get(name);
    return algorithm ? [{ algorithm, value: sized(field, algorithm, encoded) }] : [];
  });
}

function sized(field: string, algorithm: Algorithm, encoded: string): Buffer {
  const value = Buffer.from(encoded, 'base64');
  if (value.length === SIZES[algorithm]) return value;
  throw invalidDigest(`A ${algorithm} in ${field} has ${SIZES[algorithm]} bytes, this one ${value.length}.`);
}

export interface Running {
  update(bytes: Buffer): void;
  digest(): Buffer;
}

/** A hash that is being computed. CRC-32 (as in zlib), big-endian; everything else is Node's. */
export function running(algorithm: Algorithm): Running {
  if (algorithm !== 'crc32') {
    const hash = createHash(algorithm);
    return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest() };
  }
  let value = 0;
  return {
    update: (bytes) => void (value = crc32(bytes, value)),
    digest() {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(value);
      return bytes;
    },
  };
}

export const single = (value: string | string[] | undefined): string | undefined =>
  Array.isArray(value) ? value.join(', ') : value;

const checksumMismatch = (): AppError =>
  new AppError(
    460,
    'checksum_mismatch',
    'The bytes that arrived are not those of Upload-Checksum. Send them again.',
  );

export const mismatchingDigest = (): AppError =>
  new AppError(400, 'digest_mismatch', 'The bytes that arrived are not those that the digest was made of.', {
    extra: { type: `${PROBLEMS}#digest-mismatching-values` },
  });

const invalidDigest = (message: string): AppError =>
  new AppError(400, 'digest_invalid', message, { extra: { type: `${PROBLEMS}#digest-invalid-values` } });
