/** Uploads for system tests: tus-js-client as it is published, and bare requests for what a good client never sends. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Upload, type UploadOptions } from 'tus-js-client';
import type { TestServer } from './server.ts';

/** Uploads a local file and resolves with the media's id: the last segment of the upload's URL. */
export async function uploadFile(
  server: Pick<TestServer, 'url' | 'adminKey'>,
  path: string,
  options: Partial<UploadOptions> = {},
): Promise<string> {
  const { size } = await stat(path);
  return new Promise((resolve, reject) => {
    const upload = new Upload(createReadStream(path), {
      endpoint: `${server.url}/files`,
      headers: { authorization: `Bearer ${server.adminKey}` },
      uploadSize: size,
      chunkSize: Number.POSITIVE_INFINITY,
      retryDelays: [0, 100, 300, 1000],
      ...options,
      onError: reject,
      onSuccess: () => resolve(mediaIdOf(upload.url ?? '')),
    });
    upload.start();
  });
}

export const mediaIdOf = (uploadUrl: string): string => new URL(uploadUrl).pathname.split('/').at(-1) ?? '';

/** An Upload-Metadata header. */
export const metadata = (pairs: Record<string, string>): string =>
  Object.entries(pairs)
    .map(([key, value]) => `${key} ${Buffer.from(value).toString('base64')}`)
    .join(',');

/** POST /files as a bare request; `body` makes it a creation-with-upload. */
export function create(
  server: TestServer,
  headers: Record<string, string>,
  body?: Buffer,
): Promise<Response> {
  return server.fetch('/files', {
    method: 'POST',
    headers: {
      'tus-resumable': '1.0.0',
      ...(body ? { 'content-type': 'application/offset+octet-stream' } : {}),
      ...headers,
    },
    ...(body ? { body } : {}),
  });
}

/** Creates and uploads bytes in one request; resolves with the media's id. */
export async function uploadBytes(
  server: TestServer,
  body: Buffer,
  pairs: Record<string, string> = {},
): Promise<string> {
  const answer = await create(
    server,
    { 'upload-length': String(body.length), 'upload-metadata': metadata({ filename: 'test.mp4', ...pairs }) },
    body,
  );
  if (answer.status !== 201) throw new Error(`POST answered ${answer.status}: ${await answer.text()}`);
  return mediaIdOf(answer.headers.get('location') ?? '');
}
