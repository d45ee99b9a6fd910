/** Whatever goes wrong in an upload -> the one error a client sees. Clients retry 409, 423 and 5xx, and nothing else. */
import { ERRORS } from '@tus/server';
import { AppError, notFound } from '../errors.ts';
import { LeaseLostError } from './ledger/ledger.ts';

type TusError = (typeof ERRORS)[keyof typeof ERRORS];

/** The errors of @tus/server's handlers, in our words. */
const TUS_ERRORS = new Map<TusError, () => AppError>([
  [ERRORS.MISSING_OFFSET, () => bad('offset_missing', 'PATCH needs Upload-Offset.')],
  [ERRORS.FILE_NOT_FOUND, () => notFound('No upload')],
  [
    ERRORS.INVALID_OFFSET,
    () =>
      new AppError(409, 'offset_mismatch', 'Upload-Offset is not where the upload stands. Ask with HEAD.'),
  ],
  [ERRORS.ERR_SIZE_EXCEEDED, () => tooLarge('The request holds more bytes than the upload has left.')],
  [ERRORS.ERR_MAX_SIZE_EXCEEDED, () => tooLarge('The upload is larger than this server takes.')],
  [ERRORS.INVALID_LENGTH, () => bad('length_invalid', 'Upload-Length does not fit this upload.')],
]);

/** The error to answer with. Anything unknown that is not a bug of ours is an outage: the upload survives it. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  const known = TUS_ERRORS.get(error as TusError);
  if (known) return known();
  if (error instanceof LeaseLostError)
    return new AppError(423, 'locked', 'Another request took this upload over.', {
      headers: { 'Retry-After': '1' },
    });
  const { code } = (error ?? {}) as { code?: unknown };
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'SQLITE_FULL')
    return new AppError(507, 'disk_full', 'The server ran out of room. Resume the upload later.', {
      cause: error,
      headers: { 'Retry-After': '60' },
    });
  if (error instanceof TypeError || error instanceof ReferenceError || error instanceof RangeError)
    return new AppError(500, 'internal', 'Something went wrong on the server. The log says what.', {
      cause: error,
    });
  return new AppError(503, 'storage_unavailable', 'The server can not store right now. Resume in a moment.', {
    cause: error,
    headers: { 'Retry-After': '5' },
  });
}

/** Also for those who don't know that there is a protocol. */
const TUS_ONLY =
  'Uploads come by the tus protocol: use a tus client, or send Tus-Resumable: 1.0.0. A form, or a file alone, is not taken.';

/** What @tus/server answers before a handler is asked: a status and a line of text. */
export function problemOfRefusal(status: number, text: string): AppError {
  // "If the version … is not supported by the Server, it MUST respond with the 412 Precondition Failed status"
  if (status === 412 || /tus-resumable/i.test(text))
    return new AppError(412, 'tus_version_unsupported', TUS_ONLY, { headers: { 'Tus-Version': '1.0.0' } });
  if (status === 404) return notFound('No upload');
  return new AppError(status, 'header_invalid', `${text.trim() || 'The request is invalid'}.`);
}

/** Storage answers, and bytes that the ledger knows are not there: a fact, where any other error is an outage. */
export class BytesLostError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'BytesLostError';
  }
}

/**
 * "If the server loses any part of the state, it MUST deactivate the upload resource and reject further interaction with
 * it" (draft-ietf-httpbis-resumable-upload-12, section 4.1.1); and at 410 clients of tus begin anew.
 */
export const uploadLost = (): AppError =>
  new AppError(410, 'upload_lost', 'The server lost bytes of this upload. Start it again.');

/** Every byte is stored; what is left takes longer than an answer may. */
export const assembling = (): AppError =>
  new AppError(423, 'assembling', 'The upload is being put together or checked. Ask again with HEAD.', {
    headers: { 'Retry-After': '5' },
  });

export const bad = (code: string, message: string): AppError => new AppError(400, code, message);
export const tooLarge = (message: string): AppError => new AppError(413, 'upload_too_large', message);
export const keyReused = (): AppError =>
  new AppError(
    422,
    'idempotency_key_reused',
    'This Idempotency-Key was used for another upload. Make a new one for each file.',
  );
