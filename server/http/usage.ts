/** `/api/usage`: how many bytes an owner has, and how many it may have. */
import { Router } from 'express';
import { z } from 'zod';
import type { Context } from '../context.ts';
import { quotaFor, usageOf, usageOfAll } from '../uploads/index.ts';
import type { Access } from './access.ts';
import { line, page, readQuery } from './input.ts';
import { resource } from './routes.ts';

const query = z.strictObject({ limit: page.limit, cursor: line(200).optional() });

export function usageRoutes({ config, db }: Context, access: Access): Router {
  const router = Router();

  resource(router, '/', {
    async get(req, res) {
      const principal = await access(req);
      const quota = quotaFor(principal.owner, principal, config.uploads);
      res.json({
        ...(await usageOf(db, principal.owner)),
        quota: quota || null,
        limits: {
          maxUploadSize: config.uploads.maxSize,
          unfinishedUploads: config.uploads.unfinished || null,
        },
      });
    },
  });

  resource(router, '/owners', {
    async get(req, res) {
      await access(req, 'admin');
      const { limit, cursor } = readQuery(req, query);
      const found = await usageOfAll(db, { after: cursor ?? '', limit: limit + 1 });
      const items = found.slice(0, limit);
      res.json({ items, ...(found.length > limit ? { nextCursor: items.at(-1)?.owner } : {}) });
    },
  });

  return router;
}
