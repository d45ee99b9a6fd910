/**
 * Digests of the whole object (RFC 9530). The ledger keeps them as a Dictionary: `sha-256=:…:` is what the object must be
 * (`Repr-Digest` of the creation), a bare `sha-512` is to be found out (`Want-Repr-Digest`). `finishing.ts` reads the
 * object back before anybody is told that the upload is complete; from then on all of them have values.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { UploadRow } from '../../db/schema.ts';
import type { AppError } from '../errors.ts';
import { FIELD_NAMES, mismatchingDigest, readDigests, running, single, type Algorithm } from './digest.ts';

/** What a creation says and asks of its object, as the ledger keeps it; null for nothing. Throws 400. */
export function readReprDigest(headers: IncomingHttpHeaders): string | null {
  const value = single(headers['repr-digest']);
  const promised = value === undefined ? [] : readDigests('Repr-Digest', value);
  const members = promised.map(({ algorithm, value }) => member(algorithm, value));
  const wanted = preferred(single(headers['want-repr-digest']) ?? '');
  const known =
    wanted === undefined || promised.some(({ algorithm }) => FIELD_NAMES.get(wanted) === algorithm);
  return [...members, ...(known ? [] : [wanted])].join(', ') || null;
}

/**
 * The name that a `Want-` field prefers among those we compute: a Dictionary of weights, "1 (least preferred) to 10
 * (most preferred), or 0 (not acceptable)". Members that can't be read are passed over, as the whole field may be.
 */
export function preferred(value: string): string | undefined {
  const weights = value.split(',').flatMap((text) => {
    const [, name = '', weight] = /^ *([a-z*][a-z0-9_\-.*]*)=(\d+) *$/.exec(text) ?? [];
    return FIELD_NAMES.has(name) && Number(weight) > 0 ? [{ name, weight: Number(weight) }] : [];
  });
  return weights.sort((a, b) => b.weight - a.weight)[0]?.name;
}

/** Compares a whole object with what the ledger keeps of it, and finds out what is wanted. */
export interface ObjectDigest {
  update(bytes: Buffer): void;
  /** Every digest with its value, or what is wrong. */
  end(): { found: string; failure?: never } | { failure: AppError; found?: never };
}

export function objectDigest(kept: string): ObjectDigest {
  const hashes = kept.split(', ').map((text) => {
    const [expected] = text.includes('=') ? readDigests('Repr-Digest', text) : [];
    const algorithm = expected?.algorithm ?? FIELD_NAMES.get(text);
    if (!algorithm) throw new Error(`the ledger names a digest that is not known: ${text}`);
    return { algorithm, expected: expected?.value, hash: running(algorithm) };
  });
  return {
    update: (bytes) => hashes.forEach(({ hash }) => hash.update(bytes)),
    end() {
      const results = hashes.map(({ hash, ...rest }) => ({ ...rest, value: hash.digest() }));
      if (results.some(({ expected, value }) => expected?.equals(value) === false))
        return { failure: mismatchingDigest() };
      return { found: results.map(({ algorithm, value }) => member(algorithm, value)).join(', ') };
    },
  };
}

/** `Repr-Digest` of an upload's object; nothing before it is complete, or when nobody wanted to know. */
export const reprDigestOf = ({ state, digest }: UploadRow): Record<string, string> =>
  state === 'complete' && digest !== null ? { 'Repr-Digest': digest } : {};

function member(algorithm: Algorithm, value: Buffer): string {
  const name = [...FIELD_NAMES].find(([, known]) => known === algorithm)?.[0];
  return `${name}=:${value.toString('base64')}:`;
}
