import { Router } from 'express';
import type { Context } from '../context.ts';
import type { Source } from '../media/source.ts';
import type { Access } from './access.ts';
import { isoTime, playbackOf } from './media-view.ts';
import { streamOf } from './remote-playback.ts';
import { resource } from './routes.ts';
import { viewing } from './viewer.ts';

/** `GET /{id}/playback`: what a player page needs to know, for everybody who may watch. */
export function watchRoutes(ctx: Context, access: Access): Router {
  const router = Router();
  resource(router, '/:id/playback', {
    async get(req, res) {
      const { media } = await viewing(ctx, access, req);
      const { id, title, status, visibility } = media;
      const outputs = await ctx.db.selectFrom('output').selectAll().where('mediaId', '=', id).execute();
      const source = media.source === null ? null : (JSON.parse(media.source) as Source);
      res.json({
        id,
        title,
        status,
        visibility,
        createdAt: isoTime(media.createdAt),
        duration: source?.duration ?? streamOf(outputs)?.duration ?? null,
        playback: playbackOf(ctx, media, outputs),
      });
    },
  });
  return router;
}
