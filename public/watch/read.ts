/** Reads what there is to watch, as its owner or as anybody who may. */
import { ApiError, request } from '../api/client.ts';
import type { Me, Media, Playback, Visibility, MediaStatus } from '../api/types.ts';

export interface Watched {
  media: Media;
  /** Everything is known and the feed can be followed; otherwise only what a player needs. */
  own: boolean;
}

interface PlaybackAnswer {
  id: string;
  title: string;
  status: MediaStatus;
  visibility: Visibility;
  createdAt: string;
  duration: number | null;
  playback: Playback | null;
}

/** Undefined: nothing here, or not for this viewer. `log in`: nobody knows before the viewer does. */
export async function readWatched(id: string, me: Me | undefined): Promise<Watched | undefined | 'log in'> {
  const path = `/api/media/${encodeURIComponent(id)}`;
  try {
    const own = me && (await unless404(request<Media>('GET', path)));
    if (own) return { media: own, own: true };
    return { media: asMedia(await request<PlaybackAnswer>('GET', `${path}/playback`)), own: false };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) return me ? undefined : 'log in';
    if ([400, 403, 404, 410].includes(error.status)) return undefined;
    throw error;
  }
}

async function unless404<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}

function asMedia({ duration, ...answer }: PlaybackAnswer): Media {
  const source = duration === null ? null : { size: 0, container: '', duration, audio: [] };
  // No poster, no picture: sound is shown as a bar of controls.
  const sound =
    answer.playback !== null &&
    (answer.playback.waveform !== null || (answer.playback.poster === null && answer.status === 'ready'));
  return {
    ...answer,
    owner: '',
    filename: null,
    upload: null,
    source: sound ? source : null,
    outputs: [],
    progress: null,
  };
}
