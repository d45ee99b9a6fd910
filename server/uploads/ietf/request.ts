/** What a request of the draft says about its upload. */
import type { UploadRow } from '../../../db/schema.ts';
import { AppError } from '../../errors.ts';
import type { Wish } from '../creation.ts';
import { readIdempotencyKey } from '../creation.ts';
import { header, type Exchange } from '../exchange.ts';
import { describeFile, parseMetadata } from '../metadata.ts';
import { bad } from '../problems.ts';
import { readReprDigest } from '../repr-digest.ts';
import { PARTIAL_UPLOAD, type Dialect } from './dialect.ts';
import { parseBoolean, parseInteger } from './fields.ts';
import { metadataOf } from './metadata.ts';
import { inconsistentLength } from './problems.ts';

/** The body of a creation or an append. */
export interface Content {
  /** Its end is the end of the upload. */
  complete: boolean;
  /** Bytes; null when the client does not know, or does not say. */
  size: number | null;
  /** Upload-Length: bytes of the whole upload. */
  uploadLength: number | null;
}

/** Throws 400 when a field can't be read. `completeByDefault`: when the request does not say. */
export function readContent(exchange: Exchange, { field, interop }: Dialect, byDefault?: boolean): Content {
  const value = header(exchange, field.toLowerCase());
  const flag = parseBoolean(value);
  if (value === undefined ? byDefault === undefined : flag === undefined)
    throw bad('upload_complete_invalid', `${field} must be there, and ?0 or ?1.`);
  const complete = flag === undefined ? byDefault === true : flag === (field === 'Upload-Complete');
  return { complete, size: sizeOf(exchange), uploadLength: uploadLengthOf(exchange, interop) };
}

/** Null for a body of unknown size. "MUST NOT" rely on it: the body may be cut, or chunked. */
function sizeOf(exchange: Exchange): number | null {
  if (header(exchange, 'transfer-encoding') !== undefined) return null;
  return Number(header(exchange, 'content-length') ?? 0);
}

function uploadLengthOf(exchange: Exchange, interop: number | undefined): number | null {
  const value = header(exchange, 'upload-length');
  if (value === undefined) return null;
  const length = parseInteger(value);
  // "Other values MUST cause the entire header field to be ignored" since interop version 8
  if (length === undefined && interop !== undefined && interop < 8)
    throw bad('length_invalid', 'Upload-Length must be an integer.');
  return length ?? null;
}

/** Upload-Offset of an append. Throws 400. */
export function readOffset(exchange: Exchange): number {
  const offset = parseInteger(header(exchange, 'upload-offset'));
  if (offset === undefined)
    throw bad('offset_missing', 'PATCH needs Upload-Offset, the integer that HEAD answers.');
  return offset;
}

/**
 * The upload's length as far as it is known with this body. "If indicators … are both present in the same request, their
 * indicated lengths MUST match. If multiple requests include indicators, their indicated values MUST match." Throws 400.
 */
export function lengthWith(
  { complete, size, uploadLength }: Content,
  { offset, length: known }: Pick<UploadRow, 'offset' | 'length'>,
): number | null {
  const computed = complete && size !== null ? offset + size : null;
  const said = [known, uploadLength, computed].filter((value) => value !== null);
  const [length = null] = said;
  if (said.some((value) => value !== length))
    throw inconsistentLength(`This would make the upload ${said.join(' or ')} bytes long.`);
  if (length !== null && offset + (size ?? 0) > length)
    throw inconsistentLength('The request holds more bytes than the upload has left.');
  return length;
}

/** A creation as the draft asks for it. Throws 400, 413 and 415. */
export function readDraftWish(exchange: Exchange, content: Content, metadataMax: number): Wish {
  const metadata = metadataOf(exchange);
  return {
    length: lengthWith(content, { offset: 0, length: null }),
    metadata,
    file: describeFile(parseMetadata(metadata ?? '', metadataMax)),
    concat: null,
    digest: readReprDigest(exchange.request.headers),
    idempotencyKey: readIdempotencyKey(exchange),
    hasBody: true,
    resumes: true,
  };
}

/** "a `PATCH` request with the `application/partial-upload` media type". Throws 415. */
export function assertPatchType(exchange: Exchange, { patchType }: Dialect): void {
  if (!patchType || header(exchange, 'content-type') === PARTIAL_UPLOAD) return;
  throw new AppError(415, 'content_type_invalid', `PATCH needs Content-Type: ${PARTIAL_UPLOAD}.`, {
    headers: { 'Accept-Patch': PARTIAL_UPLOAD },
  });
}

/** "The server MUST reject requests with either of these fields". Throws 400. */
export function assertNoState(exchange: Exchange, { strict, field }: Dialect): void {
  const names = ['upload-offset', field.toLowerCase(), 'upload-length'];
  if (strict && names.some((name) => header(exchange, name) !== undefined))
    throw bad('header_invalid', `This request takes no ${field}, Upload-Offset or Upload-Length.`);
}
