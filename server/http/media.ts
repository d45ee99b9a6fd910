/** `/api/media`: see, edit, retry, cancel and delete media. They are made by uploading. */
import { Router, type Request } from 'express';
import { z } from 'zod';
import type { MediaRow } from '../../db/schema.ts';
import { transact } from '../../db/transaction.ts';
import type { Scope } from '../auth/principal.ts';
import type { Context } from '../context.ts';
import { AppError, notFound } from '../errors.ts';
import { cancelMedia, deleteMedia } from '../media/lifecycle.ts';
import { MEDIA_STATUSES } from '../media/media.ts';
import { TITLE_LENGTH } from '../uploads/index.ts';
import type { Access } from './access.ts';
import { line, page, readBody, readQuery, toPage, wordsOf } from './input.ts';
import { editMedia, listMedia, ownMedia, VISIBILITIES } from './media-queries.ts';
import { viewMedia } from './media-view.ts';
import { retryMedia } from './retry.ts';
import { idOf, resource } from './routes.ts';

const listQuery = z.strictObject({
  ...page,
  status: wordsOf(MEDIA_STATUSES).optional(),
  owner: line(200).optional(),
  q: line(200).optional(),
});

const edit = z
  .strictObject({
    title: line(TITLE_LENGTH).optional(),
    visibility: z.enum(VISIBILITIES).optional(),
  })
  .refine((changes) => Object.keys(changes).length > 0, 'Send a title or a visibility');

const retry = z.strictObject({ encoder: z.literal('ffmpeg').optional() });

export function mediaRoutes(ctx: Context, access: Access): Router {
  const { db } = ctx;
  const router = Router();
  const view = async (row: MediaRow) => (await viewMedia(ctx, [row]))[0];
  const own = async (req: Request, scope: Scope) =>
    ownMedia(db, await access(req, scope), idOf(req, 'No media'));

  resource(router, '/', {
    async get(req, res) {
      const principal = await access(req, 'read');
      const query = readQuery(req, listQuery);
      const owner = principal.scopes.has('admin') ? query.owner : principal.owner;
      const { rows, nextCursor } = toPage(await listMedia(db, { ...query, owner }), query.limit);
      res.json({ items: await viewMedia(ctx, rows), nextCursor });
    },
  });

  resource(router, '/:id', {
    async get(req, res) {
      res.json(await view(await own(req, 'read')));
    },
    async patch(req, res) {
      const media = await own(req, 'upload');
      const row = await editMedia(db, media.id, readBody(req, edit));
      if (!row) throw notFound('No media');
      res.json(await view(row));
    },
    async delete(req, res) {
      const media = await own(req, 'upload');
      if (!(await transact(db, (trx) => deleteMedia(trx, media)))) throw notFound('No media');
      res.status(204).end();
    },
  });

  resource(router, '/:id/retry', {
    async post(req, res) {
      const { encoder } = readBody(req, retry);
      const media = await own(req, encoder ? 'admin' : 'upload');
      const row = await transact(db, (trx) => retryMedia(trx, media, ctx.config, encoder));
      res.status(202).json(await view(row));
    },
  });

  resource(router, '/:id/cancel', {
    async post(req, res) {
      const media = await own(req, 'upload');
      const row = await transact(db, (trx) => cancelMedia(trx, media));
      if (!row)
        throw new AppError(409, 'already_finished', `This media is ${media.status}: nothing to cancel.`);
      res.json(await view(row));
    },
  });

  return router;
}
