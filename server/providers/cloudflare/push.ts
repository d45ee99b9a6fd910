/**
 * Sending a file to Stream by tus 1.0, for servers that Stream can't reach.
 * "Resumable uploads require a minimum chunk size of 5,242,880 bytes … divisible by 256 KiB."
 */
import type { StreamConfig } from '../../stream-config.ts';
import { ProviderError, type Provider, type Submission } from '../provider.ts';
import { troubleOf, type Api } from './api.ts';

const TUS = { 'Tus-Resumable': '1.0.0' };
const CHUNK_TIMEOUT_MS = 600_000;

export function createPush(
  api: Api,
  { signedUrls, times }: StreamConfig,
): Pick<Provider, 'openPush' | 'pushedBytes' | 'pushBytes'> {
  return {
    async openPush(submission, signal) {
      const metadata = [`name ${base64(submission.attemptId)}`, ...(signedUrls ? ['requiresignedurls'] : [])];
      const answer = await api.send('POST', '', {
        headers: {
          ...TUS,
          'Upload-Length': String(submission.length),
          'Upload-Metadata': metadata.join(','),
          'Upload-Creator': creatorOf(submission),
        },
        signal: AbortSignal.any([signal, AbortSignal.timeout(times.request)]),
      });
      const text = await answer.text().catch(() => '');
      if (!answer.ok) throw troubleOf(answer, text);
      const videoId = answer.headers.get('stream-media-id');
      const location = answer.headers.get('location');
      if (!videoId || !location)
        throw new ProviderError('unclear', 'Cloudflare opened an upload without saying where.');
      return { videoId, uploadUrl: new URL(location, answer.url).href };
    },

    async pushedBytes(uploadUrl, signal) {
      const answer = await api.send('HEAD', uploadUrl, {
        headers: TUS,
        signal: AbortSignal.any([signal, AbortSignal.timeout(times.request)]),
      });
      if (!answer.ok) throw troubleOf(answer, '');
      return offsetOf(answer);
    },

    async pushBytes(uploadUrl, offset, body, signal) {
      const answer = await api.send('PATCH', uploadUrl, {
        headers: {
          ...TUS,
          'Content-Type': 'application/offset+octet-stream',
          'Upload-Offset': String(offset),
        },
        body,
        signal: AbortSignal.any([signal, AbortSignal.timeout(CHUNK_TIMEOUT_MS)]),
      });
      const text = await answer.text().catch(() => '');
      if (!answer.ok) throw troubleOf(answer, text);
      return offsetOf(answer);
    },
  };
}

function offsetOf(answer: Response): number {
  const offset = Number(answer.headers.get('upload-offset') ?? 'none');
  if (Number.isSafeInteger(offset) && offset >= 0) return offset;
  throw new ProviderError('unclear', 'Cloudflare answered without an Upload-Offset.');
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** "A user-defined identifier for the media creator", 64 characters at most. */
export const creatorOf = ({ owner }: Pick<Submission, 'owner'>): string =>
  owner.replace(/[^\x21-\x7e]/g, '_').slice(0, 64);
