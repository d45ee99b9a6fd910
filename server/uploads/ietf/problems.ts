/** The draft's problem types (section "Problem Types"), and what our errors mean to its clients. */
import { AppError } from '../../errors.ts';
import type { Dialect } from './dialect.ts';

const REGISTRY = 'https://iana.org/assignments/http-problem-types';

/** 409: the append does not begin where the upload stands. */
export const mismatchingOffset = (expected: number, provided: number): AppError =>
  new AppError(409, 'offset_mismatch', 'Upload-Offset is not where the upload stands. Ask with HEAD.', {
    extra: {
      type: `${REGISTRY}#mismatching-upload-offset`,
      'expected-offset': expected,
      'provided-offset': provided,
    },
    headers: { 'Upload-Offset': String(expected) },
  });

/** 400: Upload-Length, Content-Length and what was said before do not fit together. */
export const inconsistentLength = (message: string): AppError =>
  new AppError(400, 'length_invalid', message, {
    extra: { type: `${REGISTRY}#inconsistent-upload-length` },
  });

/** 400: nothing can be appended any more. */
export const completedUpload = (): AppError =>
  new AppError(400, 'upload_completed', 'The upload is complete. Nothing can be appended to it.', {
    extra: { type: `${REGISTRY}#completed-upload` },
  });

/**
 * The error as a client of the draft understands it. It gives up on every 4xx ("SHOULD NOT attempt to retry or resume"),
 * so a lock that will be free in a moment is 503; and the older drafts know only 404 for what can't go on.
 */
export function inDialect({ strict }: Dialect, error: AppError): AppError {
  const status = error.status === 423 ? 503 : error.status === 410 && strict ? 404 : error.status;
  if (status === error.status) return error;
  const { code, message, extra, headers, cause } = error;
  return new AppError(status, code, message, { extra, headers, cause });
}
