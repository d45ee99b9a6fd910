/** Server-sent events (HTML standard, section 9.2) from the feed. */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { EventRow } from '../../db/schema.ts';
import type { EventFilter } from './events.ts';
import type { Feed } from './feed.ts';

/** Proxies cut connections that are silent for longer, often after 30 or 60 s. */
const HEARTBEAT_MS = 15_000;
/** A reader that takes nothing for this long is gone. */
const STALLED_MS = 60_000;
const RETRY_MS = 3_000;

/**
 * Answers with a stream of events, for as long as both sides like. `Last-Event-ID` (or `?lastEventId=`, for the
 * first connection of a page that knows where it stands) replays what was missed. Data are JSON:
 * `{type, mediaId, jobId, createdAt, payload}`. Resolves when it streams.
 */
export async function streamEvents(
  req: IncomingMessage,
  res: ServerResponse,
  feed: Feed,
  filter: EventFilter,
  toData: (event: EventRow) => object = dataOf,
): Promise<void> {
  const gone = new AbortController();
  res.once('close', () => gone.abort());
  res.setHeader('Content-Type', 'text/event-stream; charset=utf-8');
  res.setHeader('Cache-Control', 'no-cache, no-transform');
  res.setHeader('X-Accel-Buffering', 'no'); // nginx

  const subscription = await feed.subscribe({
    filter,
    afterId: lastEventIdOf(req),
    onEvents: (events) =>
      write(res, events.map((event) => format(event, toData(event))).join(''), gone.signal),
    onEnd: () => res.end(),
  });
  const heartbeat = setInterval(() => {
    if (!res.writableNeedDrain) res.write(':\n\n');
  }, HEARTBEAT_MS);
  const stop = (): void => {
    clearInterval(heartbeat);
    subscription.close();
  };
  if (res.closed || res.writableEnded) return stop();
  res.once('close', stop);
  res.write(`retry: ${RETRY_MS}\n\n`);
}

/** Resolves when the connection takes more. Rejects, and cuts it, when it is stalled. */
async function write(res: ServerResponse, text: string, gone: AbortSignal): Promise<void> {
  if (res.writableEnded || res.write(text)) return;
  try {
    await once(res, 'drain', { signal: AbortSignal.any([gone, AbortSignal.timeout(STALLED_MS)]) });
  } catch (error) {
    res.destroy();
    throw error;
  }
}

/** JSON has no line breaks, so one `data` line is enough. */
const format = (event: EventRow, data: object): string =>
  `id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(data)}\n\n`;

function dataOf({ type, mediaId, jobId, payload, createdAt }: EventRow): object {
  const what = JSON.parse(payload) as object;
  return { type, mediaId, jobId, createdAt: new Date(createdAt).toISOString(), payload: what };
}

function lastEventIdOf(req: IncomingMessage): number | undefined {
  const query = new URL(req.url ?? '/', 'http://localhost').searchParams.get('lastEventId');
  const value = req.headers['last-event-id'] ?? query;
  return typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : undefined;
}
