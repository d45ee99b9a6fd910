/** Playback of what a provider encoded: our address stays the same and leads to the provider's, signed when asked. */
import type { Response } from 'express';
import type { MediaRow, OutputRow } from '../../db/schema.ts';
import type { Context } from '../context.ts';
import { AppError, messageOf } from '../errors.ts';
import type { HlsDetails } from '../hls/model.ts';
import { isHls, type StreamDetails } from '../media/output.ts';
import { ProviderError, type RemoteEncoding } from '../providers/index.ts';

/** What plays instead of an output of ours. */
export const streamOf = (outputs: readonly OutputRow[]): StreamDetails | undefined => {
  const output = outputs.find(({ kind }) => kind === 'stream');
  return output && (JSON.parse(output.details) as StreamDetails);
};

/**
 * Sends the viewer, who was found to be allowed, to the provider. False when we have the thing ourselves or nobody has.
 * AppError 503 when the provider does not sign for us right now.
 */
export async function redirectToVideo(
  ctx: Context,
  remote: RemoteEncoding | undefined,
  media: MediaRow,
  kind: 'hls' | 'poster',
  res: Response,
): Promise<boolean> {
  const outputs = await ctx.db.selectFrom('output').selectAll().where('mediaId', '=', media.id).execute();
  const video = outputs.some(kind === 'hls' ? isWhole : isPoster) ? undefined : streamOf(outputs);
  const url = video?.[kind];
  if (!video || !url) return false;
  res.set('Cache-Control', 'private, no-store').redirect(302, await addressOf(ctx, remote, video, url));
  return true;
}

const isPoster = ({ kind }: OutputRow): boolean => kind === 'poster';

/** Renditions of ours that win over the provider's: not those that still grow, nor the lowest one alone. */
const isWhole = (output: OutputRow): boolean =>
  isHls(output) && output.kind !== 'first' && (JSON.parse(output.details) as HlsDetails).state === 'complete';

async function addressOf(
  { config, logger }: Context,
  remote: RemoteEncoding | undefined,
  video: StreamDetails,
  url: string,
): Promise<string> {
  if (!video.signed) return url;
  try {
    if (!remote) throw new ProviderError('unauthorized', 'Stream is switched off here');
    return await remote.provider.signedUrl(video.videoId, url, config.auth.playbackTtlMs);
  } catch (error) {
    if (!(error instanceof ProviderError)) throw error;
    logger.error({ videoId: video.videoId }, `no signed address: ${messageOf(error)}`);
    throw new AppError(503, 'provider_unavailable', 'The video can not be signed for right now: try again.', {
      headers: { 'Retry-After': '10' },
      cause: error,
    });
  }
}
