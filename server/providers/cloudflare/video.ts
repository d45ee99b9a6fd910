/** Stream's video object, read leniently: its uid and state are needed, all else may be missing, null, 0 or -1. */
import { isId } from '../../ids.ts';
import type { Observation, VideoError, VideoPlayback } from '../provider.ts';

/** Undefined when it has no uid. */
export function readVideo(value: unknown): Observation | undefined {
  const video = asObject(value);
  const videoId = text(video.uid);
  if (videoId === undefined || !/^[\w-]{1,64}$/.test(videoId)) return undefined;
  const name = text(asObject(video.meta).name);
  const status = asObject(video.status);
  const state = text(status.state) ?? text(video.state) ?? '';
  const percent = percentOf(status.pctComplete);
  const input = asObject(video.input);
  return {
    videoId,
    attemptId: name !== undefined && isId(name) ? name : undefined,
    state: stateOf(state, video.readyToStream === true, percent),
    percent,
    error: state === 'error' ? errorOf(status) : undefined,
    playback: playbackOf(video),
    duration: positive(video.duration),
    width: positive(input.width),
    height: positive(input.height),
    size: positive(video.size),
    raw: `${state || 'no state'} ${percent ?? '?'} %`,
  };
}

/**
 * "state=ready" may come with 39 %: then the first quality plays and others are on their way. So complete is only what
 * says ready and 100 (or ready without any figure).
 */
function stateOf(state: string, readyToStream: boolean, percent: number | undefined): Observation['state'] {
  switch (state) {
    case 'ready':
      return (percent ?? 100) >= 100 ? 'complete' : 'playable';
    case 'error':
      return 'failed';
    case 'pendingupload':
    case 'downloading':
    case 'queued':
      return 'accepted';
    case 'inprogress':
      return readyToStream ? 'playable' : 'working';
    default:
      return 'unknown';
  }
}

/** Sentences for the codes that Cloudflare documents; the set is open. */
const ERRORS: Record<string, { code: string; message: string }> = {
  ERR_NON_VIDEO: { code: 'not_media', message: 'The file is not a video that Cloudflare Stream can read.' },
  ERR_DURATION_EXCEED_CONSTRAINT: {
    code: 'too_long',
    message: 'The video is longer than Cloudflare Stream was allowed to take.',
  },
  ERR_FETCH_ORIGIN_ERROR: {
    code: 'source_not_fetched',
    message:
      'Cloudflare Stream could not fetch the file from this server. Check that PUBLIC_URL can be reached.',
  },
  ERR_MALFORMED_VIDEO: {
    code: 'not_decodable',
    message: 'The file is damaged: Cloudflare Stream can not decode it.',
  },
  ERR_DURATION_TOO_SHORT: { code: 'too_short', message: 'The video is too short for Cloudflare Stream.' },
};

function errorOf(status: Record<string, unknown>): VideoError {
  const reason = text(status.errorReasonCode) ?? text(status.errReasonCode) ?? 'ERR_UNKNOWN';
  const words = text(status.errorReasonText) ?? text(status.errReasonText);
  const known = ERRORS[reason] ?? {
    code: 'stream_error',
    message: `Cloudflare Stream could not encode it (${reason})${words ? `: ${words}` : '.'}`,
  };
  return { ...known, refetch: reason === 'ERR_FETCH_ORIGIN_ERROR' };
}

function playbackOf(video: Record<string, unknown>): VideoPlayback | undefined {
  const { hls, dash } = asObject(video.playback);
  const address = text(hls);
  if (address === undefined || !URL.canParse(address)) return undefined;
  return {
    hls: address,
    dash: text(dash),
    poster: text(video.thumbnail),
    signed: video.requireSignedURLs === true,
  };
}

/** `pctComplete` is a string such as "45" or "100.000000"; sometimes empty or absent. */
function percentOf(value: unknown): number | undefined {
  const figure = typeof value === 'number' ? value : Number.parseFloat(text(value) ?? '');
  return Number.isFinite(figure) ? Math.min(100, Math.max(0, figure)) : undefined;
}

const asObject = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
const text = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;
const positive = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : undefined;
