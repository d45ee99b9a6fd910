/** How Uppy's Tus plugin talks to /files: see rules.ts and backoff.ts for the reasons. */
import type { Body, Meta, UppyFile } from '@uppy/core';
import type { TusOptions } from '@uppy/tus';
import type { HttpRequest } from 'tus-js-client';
import { at } from '../api/root.ts';
import { ceilingMs, fullJitterMs, RETRIES, retryAfterMs } from './backoff.ts';
import { guardResume, isTransient, statusOf } from './rules.ts';
import type { UploadStorage } from './url-storage.ts';

const ENDPOINT = new URL(at('/files'), location.href).href;

/** The fingerprint @uppy/tus makes: its file ids hold name, type, size and modification time. */
export const fingerprintOf = (fileId: string): string => `tus-${fileId}-${ENDPOINT}`;

/** The last segment of an upload's URL is its media's id. */
export const mediaIdOf = (uploadUrl: string | null | undefined): string | undefined =>
  uploadUrl?.replace(/\/+$/, '').split('/').at(-1);

/** Some proxies refuse or buffer larger bodies; a cut loses nothing either way. */
const CHUNK_BYTES = 64 * 1024 * 1024;

/** Files sent at once. Browsers open six connections to a host, and the live feed needs one. */
const PARALLEL_FILES = 3;

/** `onWaiting` is told of a file whose request failed and will be tried again. */
export function tusOptions(
  storage: UploadStorage,
  onWaiting: (fileId: string) => void,
): TusOptions<Meta, Body> {
  const fileOf = new WeakMap<HttpRequest, string>();
  return {
    endpoint: ENDPOINT,
    chunkSize: CHUNK_BYTES,
    limit: PARALLEL_FILES,
    retryDelays: Array.from({ length: RETRIES }, (_, attempt) => ceilingMs(attempt)),
    urlStorage: storage,
    removeFingerprintOnSuccess: true,
    allowedMetaFields: ['filename', 'filetype'],
    onBeforeRequest(request, file: UppyFile<Meta, Body>) {
      fileOf.set(request, file.id);
      // A lost answer to POST must not leave a second upload behind.
      if (request.getMethod() === 'POST')
        request.setHeader('Idempotency-Key', storage.creationKey(fingerprintOf(file.id)));
    },
    onAfterResponse(request, response) {
      guardResume(request.getMethod(), response.getStatus());
    },
    onShouldRetry(error, attempt, options, next) {
      if (!isTransient(statusOf(error))) return false;
      // tus-js-client reads the delay right after this call, so this draws a fresh one for each retry.
      const asked = retryAfterMs(error.originalResponse?.getHeader('Retry-After'));
      if (options.retryDelays) options.retryDelays[attempt] = asked + fullJitterMs(attempt);
      const retried = next(error);
      if (retried) onWaiting(fileOf.get(error.originalRequest) ?? '');
      return retried;
    },
  };
}
