/** One media through a real Millrace: when it could be watched, when everything was there, and what that cost. */
import type { TestServer } from '../../test/server.ts';
import { uploadFile } from '../../test/tus.ts';
import { watch, type Usage } from './resources.ts';

export interface Intake extends Usage {
  mediaId: string;
  /** Seconds from the last byte's acknowledgement. */
  playable: number;
  /** Seconds from the last byte's acknowledgement; absent when it was not waited for. */
  ready?: number | undefined;
}

/** Uploads a file with tus-js-client and watches its media until it is `ready`, or only `playable`. */
export async function take(server: TestServer, path: string, until: 'playable' | 'ready'): Promise<Intake> {
  const id = await uploadFile(server, path);
  const watched = watch(server.pid());
  const playable = await reached(server, id, 'playable');
  const ready = until === 'ready' ? playable + (await reached(server, id, 'ready')) : undefined;
  return { mediaId: id, playable, ready, ...watched.end() };
}

/** Seconds until the media has come so far, by its live feed: looking again and again would cost the server time. */
async function reached(server: TestServer, id: string, wanted: 'playable' | 'ready'): Promise<number> {
  const started = performance.now();
  const feed = await server.fetch(`/api/media/${id}/events`);
  const events = feed.body!.pipeThrough(new TextDecoderStream()).getReader();
  try {
    // First what it was when the feed was opened.
    for (let news = 'media.status'; ; news = (await events.read()).value ?? '') {
      if (!news) throw new Error('the feed has ended');
      if (!news.includes('media.status')) continue;
      const media = (await (await server.fetch(`/api/media/${id}`)).json()) as { status: string };
      if ([wanted, 'ready'].includes(media.status)) return (performance.now() - started) / 1000;
      if (media.status === 'failed') throw new Error(`the media failed: ${JSON.stringify(media)}`);
    }
  } finally {
    await events.cancel();
  }
}
