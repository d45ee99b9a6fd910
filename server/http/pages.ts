/** The pages, as Vite built them. Everybody gets them; what they can show is decided by the API. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import express, { Router, type Request, type Response } from 'express';
import type { Context } from '../context.ts';
import { noteLoginFailure } from './failure-limit.ts';
import { resource } from './routes.ts';
import { pagePolicy } from './security-headers.ts';
import { startSession } from './session.ts';
import { rootOf } from './urls.ts';

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
        else await sendPage(res, join(folder, file), rootOf(ctx.config));
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
  const address = rootOf(ctx.config) + page;
  res.set('Cache-Control', 'no-store').redirect(303, rest.size ? `${address}?${rest.toString()}` : address);
}

async function sendPage(res: Response, file: string, root: string): Promise<void> {
  const page = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  if (page !== undefined) res.set('Cache-Control', 'no-cache').type('html').send(below(root, page));
  else
    res
      .status(503)
      .type('text/plain')
      .send('The pages are not built yet: run `npm run build`. The API is at /api.\n');
}

/** A page whose files and links lie below a path; its scripts read `data-root` (public/api/root.ts). */
function below(root: string, page: string): string {
  if (!root) return page;
  const path = root.replaceAll('&', '&amp;');
  // Functions: a `$` of the path would mean something in a text.
  return page
    .replaceAll(/(?<= (src|href)=")\//g, () => `${path}/`)
    .replace('<html ', (tag) => `${tag}data-root="${path}" `);
}
