/** The pages, as Vite built them. Everybody gets them; what they can show is decided by the API. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import express, { Router, type Request, type Response } from 'express';
import type { Context } from '../context.ts';
import { noteLoginFailure } from './failure-limit.ts';
import { resource } from './routes.ts';
import { pagePolicy } from './security-headers.ts';
import { startSession } from './session.ts';

const PAGES: Record<string, string> = {
  '/': 'index.html',
  '/watch/:id': 'watch.html',
  '/admin': 'admin.html',
  '/login': 'login.html',
};

/** dist/public, seen from the sources as well as from dist/server/http. */
const BUILT = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? '../../dist/public' : '../../public', import.meta.url),
);

export interface PageOptions {
  /** Default: dist/public. */
  folder?: string | undefined;
  /** Other origins that media may be played from. */
  origins?: readonly string[] | undefined;
}

export function pageRoutes(ctx: Context, { folder = BUILT, origins = [] }: PageOptions = {}): Router {
  const router = Router();
  const policy = pagePolicy(ctx.config.publicUrl, origins);
  for (const [path, file] of Object.entries(PAGES)) {
    router.get(path, policy);
    resource(router, path, {
      async get(req, res) {
        if (typeof req.query.key === 'string') await loginByLink(ctx, req, res, req.query.key);
        else await sendPage(res, join(folder, file));
      },
    });
  }
  // Names of built files carry a hash of their content.
  router.use(
    '/assets',
    express.static(join(folder, 'assets'), { immutable: true, maxAge: '1y', index: false }),
  );
  router.use(express.static(folder, { index: false, maxAge: '1h', redirect: false, extensions: [] }));
  return router;
}

/** A link with a key logs the browser in and leads to the same page without the key, out of history and logs. */
async function loginByLink(ctx: Context, req: Request, res: Response, key: string): Promise<void> {
  const principal = await startSession(ctx, req, res, key);
  if (!principal) noteLoginFailure(res);
  const rest = new URLSearchParams(req.originalUrl.split('?')[1]);
  rest.delete('key');
  if (!principal) rest.set('error', 'invalid_key');
  const page = !principal ? '/login' : req.path === '/login' ? '/' : req.path;
  res.set('Cache-Control', 'no-store').redirect(303, rest.size ? `${page}?${rest.toString()}` : page);
}

function sendPage(res: Response, file: string): Promise<void> {
  return new Promise((resolve, reject) => {
    res.sendFile(file, { cacheControl: false, headers: { 'Cache-Control': 'no-cache' } }, (error) => {
      if (!error) return resolve();
      const { code } = error as NodeJS.ErrnoException;
      if (res.headersSent) return resolve(); // the reader left
      if (code !== 'ENOENT') return reject(error);
      res.status(503).type('text/plain');
      res.send('The pages are not built yet: run `npm run build`. The API is at /api.\n');
      resolve();
    });
  });
}
