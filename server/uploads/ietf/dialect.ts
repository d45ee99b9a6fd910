/**
 * The versions of draft-ietf-httpbis-resumable-upload that clients speak, and where they differ. "Interop versions" number
 * the changes that break: 3 is draft -01 (iOS 17), 5 is -03 (iOS 18.0), 6 is -04 and -05 (iOS 18.1), 7 is -06 to -08,
 * 8 is -09 to -12 (iOS 26.2).
 */
import type { IncomingHttpHeaders } from 'node:http';
import { bad } from '../problems.ts';
import { parseInteger } from './fields.ts';

export interface Dialect {
  /** Value of Upload-Draft-Interop-Version; undefined when the client named none that we speak: it gets no 104. */
  interop: number | undefined;
  /** The field that says whether an upload is complete; "Upload-Incomplete" says the opposite. */
  field: 'Upload-Complete' | 'Upload-Incomplete';
  /** What a PATCH without that field means; undefined: it must have one. */
  completeByDefault: boolean | undefined;
  /** PATCH must be `application/partial-upload`. */
  patchType: boolean;
  /** Interim responses may tell the offset. */
  progress: boolean;
  /** Key of Upload-Limit that says how long the upload lives; undefined: there is no Upload-Limit. */
  lifetime: 'expires' | 'max-age' | undefined;
  /** Status of an append that leaves the upload incomplete. */
  appended: 201 | 204;
  /** "MUST reject" HEAD and DELETE that carry fields of the upload's state, and 404 for whatever can't go on. */
  strict: boolean;
  /** An empty append to a complete upload is answered as the last one was; otherwise refused as `completed-upload`. */
  replays: boolean;
}

const V3: Dialect = {
  interop: 3,
  field: 'Upload-Incomplete',
  completeByDefault: true,
  patchType: false,
  progress: false,
  lifetime: undefined,
  appended: 201,
  strict: true,
  replays: true,
};
const V4: Dialect = { ...V3, interop: 4, field: 'Upload-Complete', completeByDefault: false };
const V5: Dialect = { ...V4, interop: 5, progress: true };
const V6: Dialect = { ...V5, interop: 6, patchType: true, lifetime: 'expires', replays: false };
const V7: Dialect = {
  ...V6,
  interop: 7,
  completeByDefault: undefined,
  lifetime: 'max-age',
  appended: 204,
  strict: false,
};
const V8: Dialect = { ...V7, interop: 8, replays: true };

/** Without a version that we know: the newest wording, "MUST NOT send a 104 … when the interop version … is missing or mismatching". */
export const UNVERSIONED: Dialect = { ...V8, interop: undefined };

const BY_INTEROP = new Map([V3, V4, V5, V6, V7, V8].map((dialect) => [dialect.interop, dialect]));

/** Content type of an append since interop version 6. */
export const PARTIAL_UPLOAD = 'application/partial-upload';

/**
 * The dialect a request is written in; undefined when it is none of the draft's. A client that names a version has told;
 * the finished standard will have no version, there the fields and the media type tell. Throws 400.
 */
export function dialectOf(method: string, headers: IncomingHttpHeaders): Dialect | undefined {
  if (headers['tus-resumable'] !== undefined || method === 'OPTIONS') return undefined;
  const version = headers['upload-draft-interop-version'];
  if (version !== undefined) {
    const interop = parseInteger(version);
    if (interop === undefined)
      throw bad('header_invalid', 'Upload-Draft-Interop-Version must be an integer, such as 8.');
    return BY_INTEROP.get(interop) ?? UNVERSIONED;
  }
  if (method === 'HEAD' || method === 'DELETE') return UNVERSIONED;
  const named = headers['upload-complete'] !== undefined || headers['content-type'] === PARTIAL_UPLOAD;
  return named && method !== 'GET' ? UNVERSIONED : undefined;
}
