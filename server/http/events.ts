/** The live feed over server-sent events. */
import { Router, type Request, type Response } from 'express';
import type { EventRow } from '../../db/schema.ts';
import type { Context } from '../context.ts';
import type { Feed } from '../events/feed.ts';
import type { EventFilter } from '../events/events.ts';
import { streamEvents } from '../events/sse.ts';
import type { Access } from './access.ts';
import { isoTime } from './media-view.ts';
import { ownMedia } from './media-queries.ts';
import { idOf, resource } from './routes.ts';

const RECHECK_MS = 60_000;

/** `/events`: everything of one's own (admins: everything). `/media/{id}/events`: one media. */
export function eventRoutes(ctx: Context, access: Access, feed: Feed, recheckMs = RECHECK_MS): Router {
  const router = Router();
  resource(router, '/events', {
    async get(req, res) {
      const { owner, scopes } = await access(req, 'read');
      await stream(req, res, scopes.has('admin') ? {} : { owner });
    },
  });
  resource(router, '/media/:id/events', {
    async get(req, res) {
      const media = await ownMedia(ctx.db, await access(req, 'read'), idOf(req, 'No media'));
      await stream(req, res, { mediaId: media.id });
    },
  });
  return router;

  /** A stream may last for days: it ends soon after its key was revoked or its token expired. */
  async function stream(req: Request, res: Response, filter: EventFilter): Promise<void> {
    if (req.method === 'HEAD') return void res.type('text/event-stream').end();
    const timer = setInterval(() => {
      access(req, 'read').catch(() => res.end());
    }, recheckMs);
    res.on('close', () => clearInterval(timer));
    await streamEvents(req, res, feed, filter, viewEvent);
  }
}

/** The data of an event, as the API shows it. */
const viewEvent = ({ type, mediaId, jobId, payload, createdAt }: EventRow) => ({
  type,
  mediaId,
  jobId,
  createdAt: isoTime(createdAt),
  payload: JSON.parse(payload) as Record<string, unknown>,
});
