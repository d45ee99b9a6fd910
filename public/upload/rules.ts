/** What an answer of the upload endpoint means for the upload. */

/** Truly gone. Only then may a stored upload URL be forgotten. */
export const isGone = (status: number): boolean => status === 404 || status === 410;

/** Worth another try later: no answer at all (0), a server's trouble, a lock, an offset to ask again, a rate limit. */
export const isTransient = (status: number): boolean =>
  status === 0 || status >= 500 || [408, 409, 423, 425, 429].includes(status);

/** Thrown in place of an answer that says nothing about whether the upload still exists. */
export class ResumeError extends Error {
  readonly status: number;
  constructor(status: number) {
    super(`the server answered ${status} when asked for the offset`);
    this.name = 'ResumeError';
    this.status = status;
  }
}

/**
 * Guards a stored URL: tus-js-client takes every answer to HEAD that is neither 2xx nor 423 as "the upload is
 * gone", forgets its URL and starts a new one from byte 0, even at a 500. Throwing here makes it an error that
 * is retried (or reported) with the URL kept.
 */
export function guardResume(method: string, status: number): void {
  if (method === 'HEAD' && status >= 300 && status !== 423 && !isGone(status)) throw new ResumeError(status);
}

/** The status an upload error carries: of its answer, or of the guarded one; 0 when there was no answer. */
export function statusOf(error: {
  originalResponse?: { getStatus(): number } | null;
  causingError?: unknown;
}): number {
  if (error.originalResponse) return error.originalResponse.getStatus();
  return error.causingError instanceof ResumeError ? error.causingError.status : 0;
}

/** A sentence for an upload that stopped, by the status it stopped with. `detail` is the server's own. */
export function stoppedBecause(status: number, detail?: string): string {
  if (status === 401) return 'You are logged out. Log in again, then go on with this upload.';
  if (detail) return detail;
  if (isGone(status)) return 'The server does not have this upload any more. Try again to start over.';
  if (status === 413) return 'This file is larger than the server takes.';
  if (status === 0) return 'The server can’t be reached. What was sent so far is kept: try again to go on.';
  return `The server answered ${status}. What was sent so far is kept: try again to go on.`;
}
