/** Cloudflare Stream as a provider. Facts: https://developers.cloudflare.com/api/resources/stream/ */
import type { StreamConfig } from '../../stream-config.ts';
import { ProviderError, type Observation, type Provider } from '../provider.ts';
import { createApi } from './api.ts';
import { createPush, creatorOf } from './push.ts';
import { createSigner } from './signer.ts';
import { readVideo } from './video.ts';
import { readWebhook } from './webhook.ts';

/** "1,200 API calls per 5 minutes and token": looking takes a bounded share of them. */
const WINDOW = 300_000;
const GIGABYTE = 1e9;

export function createCloudflare(settings: StreamConfig): Provider {
  const api = createApi(settings);

  return {
    name: 'cloudflare',
    capabilities: {
      maxBytes: 30 * GIGABYTE,
      maxInFlight: settings.maxInFlight,
      batch: 100,
      pollCalls: settings.pollCalls,
      pollWindow: WINDOW,
      pushChunk: 16 * 1024 * 1024, // at least 5 MiB, in steps of 256 KiB
      captions: true,
    },
    origins: originsOf(settings.apiUrl),
    readWebhook,
    ...createPush(api, settings),
    ...createSigner(api, settings),

    async submit({ sourceUrl, ...submission }, signal) {
      const { mediaId } = submission;
      const requireSignedURLs = settings.signedUrls;
      const result = await api.call('POST', '/copy', {
        body: {
          input: sourceUrl,
          meta: { name: submission.attemptId, media: mediaId },
          creator: creatorOf(submission),
          requireSignedURLs,
        },
        headers: { 'Upload-Creator': creatorOf(submission) },
        signal,
      });
      const video = readVideo(result);
      if (!video) throw new ProviderError('unclear', 'Cloudflare took a copy without saying its uid.');
      // "Unknown keys are ignored silently": so what matters is compared with what was asked.
      if (echoOf(result) !== requireSignedURLs)
        await api.call('POST', `/${video.videoId}`, {
          body: { uid: video.videoId, requireSignedURLs },
          signal,
        });
      return { ...video, attemptId: submission.attemptId };
    },

    async findByAttempt(attemptId) {
      const query = new URLSearchParams({ video_name: attemptId, asc: 'true', limit: '100' });
      const videos = readList(await api.call('GET', `?${query.toString()}`));
      return videos.filter((video) => video.attemptId === attemptId);
    },

    async observe(videoIds) {
      const query = new URLSearchParams({
        id: videoIds.join(','),
        limit: String(Math.max(1, videoIds.length)),
      });
      return readList(await api.call('GET', `?${query.toString()}`));
    },

    async look(videoId) {
      try {
        const video = readVideo(await api.call('GET', `/${encodeURIComponent(videoId)}`));
        if (video) return video;
        throw new ProviderError('unclear', 'Cloudflare answered without a video.');
      } catch (error) {
        if (error instanceof ProviderError && error.trouble === 'missing') return undefined;
        throw error;
      }
    },

    async putCaptions(videoId, language, vtt) {
      const body = new FormData();
      body.set('file', new Blob([vtt], { type: 'text/vtt' }), `${language}.vtt`);
      await api.call('PUT', `/${encodeURIComponent(videoId)}/captions/${encodeURIComponent(language)}`, {
        body,
      });
    },

    async remove(videoId) {
      try {
        await api.call('DELETE', `/${encodeURIComponent(videoId)}`);
      } catch (error) {
        if (!(error instanceof ProviderError && error.trouble === 'missing')) throw error;
      }
    },
  };
}

function readList(result: unknown): Observation[] {
  if (!Array.isArray(result)) throw new ProviderError('unclear', 'Cloudflare answered without a list.');
  return result.map(readVideo).filter((video) => video !== undefined);
}

const echoOf = (result: unknown): boolean =>
  (result as { requireSignedURLs?: unknown } | null)?.requireSignedURLs === true;

/** Where Stream's playlists, segments and pictures come from. */
function originsOf(apiUrl: string): string[] {
  const { hostname, origin } = new URL(apiUrl);
  const streams = ['https://*.cloudflarestream.com', 'https://*.videodelivery.net'];
  return hostname === 'api.cloudflare.com' ? streams : [...streams, origin];
}
