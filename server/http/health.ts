import { Router } from 'express';
import { resource } from './routes.ts';

/** Runs every check; never throws. */
export type Checks = () => Promise<{ name: string; ok: boolean; detail?: string }[]>;

/** `/livez`: the process answers. `/readyz`: it can do its work, check by check. */
export function healthRoutes(checks: Checks): Router {
  const router = Router();
  let running: ReturnType<Checks> | undefined; // checks write to storage: who asks at the same time shares them
  resource(router, '/livez', { get: (_req, res) => void res.set(UNCACHED).json({ status: 'ok' }) });
  resource(router, '/readyz', {
    async get(_req, res) {
      running ??= checks().finally(() => (running = undefined));
      const results = await running;
      const ready = results.every(({ ok }) => ok);
      res.status(ready ? 200 : 503).set(UNCACHED);
      res.json({ status: ready ? 'ok' : 'unavailable', checks: results });
    },
  });
  return router;
}

const UNCACHED = { 'Cache-Control': 'no-store' };
