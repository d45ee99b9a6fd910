/** `/webhooks/{provider}`: what a provider tells us by itself. */
import express, { Router } from 'express';
import type { Context } from '../context.ts';
import { AppError } from '../errors.ts';
import type { RemoteEncoding } from '../providers/index.ts';
import { resource } from './routes.ts';

/**
 * Reads the raw body, since its bytes are what was signed. 204 when it was taken, whether or not it changed anything;
 * 401 when the signature is not right; 400 when it can't be read.
 */
export function webhookRoutes(ctx: Context, remote: RemoteEncoding): Router {
  const logger = ctx.logger.child({ name: 'webhook' });
  const router = Router();
  router.use(express.raw({ type: () => true, limit: '1mb' }));
  resource(router, `/${remote.provider.name}`, {
    async post(req, res) {
      const body: unknown = req.body;
      const receipt = await remote.receive(Buffer.isBuffer(body) ? body : Buffer.alloc(0), req.headers);
      if (receipt.verdict === 'genuine') return void res.status(204).end();
      logger.warn({ verdict: receipt.verdict, reason: receipt.reason }, 'webhook refused');
      throw receipt.verdict === 'forged'
        ? new AppError(401, 'invalid_signature', 'This is not signed as it has to be.')
        : new AppError(400, 'invalid_webhook', 'This is not a video object with a uid.');
    },
  });
  return router;
}
