/** `/api/keys`: API keys, for the scope admin. */
import { Router } from 'express';
import { z } from 'zod';
import { createKey, listKeys, revokeKey, type KeyView } from '../auth/keys.ts';
import { SCOPES } from '../auth/principal.ts';
import type { Context } from '../context.ts';
import { notFound } from '../errors.ts';
import type { Access } from './access.ts';
import { line, readBody } from './input.ts';
import { isoTime } from './media-view.ts';
import { idOf, resource } from './routes.ts';

const newKey = z.strictObject({
  name: line(200),
  owner: line(200).optional(),
  scopes: z.array(z.enum(SCOPES)).min(1).default(['upload', 'read']),
});

export function keyRoutes({ db, logger }: Context, access: Access): Router {
  const router = Router();

  resource(router, '/', {
    async get(req, res) {
      await access(req, 'admin');
      res.json({ items: (await listKeys(db)).map(view) });
    },
    async post(req, res) {
      const by = await access(req, 'admin');
      const wanted = readBody(req, newKey);
      const { key, row } = await createKey(db, { ...wanted, owner: wanted.owner ?? by.owner });
      logger.info({ audit: 'key.create', by: by.owner, byKey: by.keyId, keyId: row.id }, 'API key made');
      res
        .status(201)
        .set('Cache-Control', 'no-store')
        .json({ ...view(row), key });
    },
  });

  resource(router, '/:id', {
    async delete(req, res) {
      const by = await access(req, 'admin');
      const keyId = idOf(req, 'No key');
      if (!(await revokeKey(db, keyId))) throw notFound('No key');
      logger.info({ audit: 'key.revoke', by: by.owner, byKey: by.keyId, keyId }, 'API key revoked');
      res.status(204).end();
    },
  });

  return router;
}

const view = (row: KeyView) => ({
  ...row,
  createdAt: isoTime(row.createdAt),
  lastUsedAt: row.lastUsedAt === null ? null : isoTime(row.lastUsedAt),
});
