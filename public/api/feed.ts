/** The live feed: server-sent events, reopened for as long as the page is there. */
import { at } from './root.ts';

export const EVENT_TYPES = [
  'media.created',
  'media.updated',
  'media.status',
  'media.output',
  'media.deleted',
  'upload.progress',
  'job.status',
  'job.progress',
] as const;

export interface FeedEvent {
  type: (typeof EVENT_TYPES)[number];
  mediaId: string | null;
  jobId: string | null;
  payload: Record<string, unknown>;
}

export interface FeedListener {
  onEvent(event: FeedEvent): void;
  /** Events may have been missed: read the lists again. Asked once more later when it rejects. */
  onGap(): void | Promise<void>;
}

const REOPEN_MS = 5_000;

/**
 * Opens the feed at a path of this server. The browser reconnects by itself with Last-Event-ID and the server replays; only
 * when it gives up (the server answered something else than a stream) is a new one opened, and `onGap` called.
 * Returns what closes it.
 */
export function openFeed(path: string, listener: FeedListener): () => void {
  let source: EventSource;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let gap = false;

  function open(): void {
    source = new EventSource(at(path));
    source.onopen = () => {
      if (gap) void closeGap();
    };
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) return;
      gap = true;
      clearTimeout(timer);
      timer = setTimeout(open, REOPEN_MS);
    };
    for (const type of EVENT_TYPES)
      source.addEventListener(type, (message: MessageEvent<string>) =>
        listener.onEvent(read(type, message.data)),
      );
  }

  async function closeGap(): Promise<void> {
    gap = false;
    try {
      await listener.onGap();
    } catch (error) {
      console.warn('could not read again', path, error);
      gap = true;
      if (source.readyState === EventSource.OPEN) timer = setTimeout(() => void closeGap(), REOPEN_MS);
    }
  }

  open();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}

function read(type: FeedEvent['type'], text: string): FeedEvent {
  const event = JSON.parse(text) as Partial<FeedEvent>;
  return { type, mediaId: event.mediaId ?? null, jobId: event.jobId ?? null, payload: event.payload ?? {} };
}
