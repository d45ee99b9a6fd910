/** Prometheus metrics: how requests fare, and what is waiting. */
import { Router, type RequestHandler } from 'express';
import { Gauge, Histogram } from 'prom-client';
import type { Db } from '../../db/dialect.ts';
import type { Context } from '../context.ts';
import type { Access } from './access.ts';
import { resource } from './routes.ts';

/** Times requests by route (never by address: that would make a series for each media). */
export function requestMetrics({ telemetry }: Context): RequestHandler {
  const seconds = new Histogram({
    name: 'millrace_http_request_duration_seconds',
    help: 'Time from the request to the end of its answer',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600],
    registers: [telemetry.registry],
  });
  return (req, res, next) => {
    const end = seconds.startTimer();
    res.on('close', () => {
      const route = String(res.locals.route ?? 'other');
      if (!route.endsWith('/events')) end({ method: req.method, route, status: res.statusCode });
    });
    next();
  };
}

/** `/metrics`, for the scope admin: Prometheus sends `authorization: {credentials: <key>}`. */
export function metricsRoutes(ctx: Context, access: Access): Router {
  const { registry } = ctx.telemetry;
  registry.registerMetric(unfinishedJobs(ctx.db));
  registry.registerMetric(mediaByStatus(ctx.db));
  const router = Router();
  resource(router, '/metrics', {
    async get(req, res) {
      await access(req, 'admin');
      res.set({ 'Content-Type': registry.contentType, 'Cache-Control': 'no-store' });
      res.send(await (ctx.telemetry.metrics ?? (() => registry.metrics()))());
    },
  });
  return router;
}

/** Counted when asked, and only what an index finds at once: finished jobs would make it slower every day. */
function unfinishedJobs(db: Db): Gauge {
  return new Gauge({
    name: 'millrace_jobs',
    help: 'Jobs that wait or run, by task',
    labelNames: ['task', 'status'],
    registers: [],
    aggregator: 'first', // every process counts the same rows
    async collect() {
      this.reset();
      const rows = await db
        .selectFrom('job')
        .select(['task', 'status', (e) => e.fn.countAll<number>().as('n')])
        .where((e) => e.or([e('status', '=', 'queued'), e('status', '=', 'running')]))
        .groupBy(['task', 'status'])
        .execute();
      for (const { task, status, n } of rows) this.set({ task, status }, Number(n));
    },
  });
}

function mediaByStatus(db: Db): Gauge {
  return new Gauge({
    name: 'millrace_media',
    help: 'Media by status',
    labelNames: ['status'],
    registers: [],
    aggregator: 'first', // every process counts the same rows
    async collect() {
      this.reset();
      const rows = await db
        .selectFrom('media')
        .select(['status', (e) => e.fn.countAll<number>().as('n')])
        .where('deletedAt', 'is', null)
        .groupBy('status')
        .execute();
      for (const { status, n } of rows) this.set({ status }, Number(n));
    },
  });
}
