/** The whole HTTP surface on one page. Order matters: uploads come before any body parser. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import express, { type Express } from 'express';
import type { Authenticate } from './auth/index.ts';
import type { Context } from './context.ts';
import type { Feed } from './events/feed.ts';
import { createAccess } from './http/access.ts';
import { cors } from './http/cors.ts';
import { eventRoutes } from './http/events.ts';
import { failureLimit } from './http/failure-limit.ts';
import { fileRoutes } from './http/files.ts';
import { healthRoutes, type Checks } from './http/health.ts';
import { jsonOnly } from './http/input.ts';
import { jobRoutes } from './http/jobs.ts';
import { keyRoutes } from './http/keys.ts';
import { mediaRoutes } from './http/media.ts';
import { metricsRoutes, requestMetrics } from './http/metrics.ts';
import { pageRoutes } from './http/pages.ts';
import { outputFileRoutes } from './http/output-files.ts';
import { embeddable, playbackRoutes } from './http/playback.ts';
import { nothingHere, problems } from './http/problem.ts';
import { requestLog } from './http/request-log.ts';
import { sameOrigin } from './http/same-origin.ts';
import { revalidated, securityHeaders } from './http/security-headers.ts';
import { sessionRoutes } from './http/session.ts';
import { sourceRoutes } from './http/source.ts';
import { subtitleRoutes } from './http/subtitles.ts';
import { usageRoutes } from './http/usage.ts';
import { watchRoutes } from './http/watch.ts';
import { webhookRoutes } from './http/webhook.ts';
import type { RemoteEncoding } from './providers/index.ts';

export interface AppParts {
  /** The upload engine; it reads the request's body itself. */
  uploads: { handle(req: IncomingMessage, res: ServerResponse): Promise<void> };
  feed: Feed;
  authenticate: Authenticate;
  readiness: Checks;
  /** Encoding by a provider; without it its webhook and the source addresses do not exist. */
  remote?: RemoteEncoding | undefined;
  /** Folder of the built pages; default dist/public. */
  pages?: string;
}

/** What a server answers. */
export function createApp(
  ctx: Context,
  { uploads, feed, authenticate, readiness, remote, pages }: AppParts,
): Express {
  const { config } = ctx;
  const access = createAccess(authenticate);
  const app = bareApp(ctx);

  app.use(healthRoutes(readiness));
  if (remote) app.use('/webhooks', webhookRoutes(ctx, remote)).use('/source', sourceRoutes(ctx, remote));
  app.use(failureLimit());
  app.use(sameOrigin(config.publicUrl));
  app.use(metricsRoutes(ctx, access));

  app.use('/files', fileRoutes(ctx, access));
  app.all('/files{/*rest}', (req, res) => uploads.handle(req, res));

  app.use('/media', cors(config.corsOrigins, 'GET, HEAD'), embeddable);
  app.use('/media', subtitleRoutes(ctx, access), playbackRoutes(ctx, access, remote));
  app.use('/media', outputFileRoutes(ctx, access, remote));

  app.use('/api', cors(config.corsOrigins, 'GET, HEAD, POST, PATCH, DELETE'));
  app.use('/api', revalidated, jsonOnly, express.json({ limit: '100kb' }));
  app.use('/api', sessionRoutes(ctx, access), eventRoutes(ctx, access, feed));
  app.use('/api/media', mediaRoutes(ctx, access), watchRoutes(ctx, access));
  app.use('/api/jobs', jobRoutes(ctx, access));
  app.use('/api/keys', keyRoutes(ctx, access));
  app.use('/api/usage', usageRoutes(ctx, access));

  app.use(pageRoutes(ctx, { folder: pages, origins: remote?.provider.origins }));
  app.use(nothingHere, problems(ctx.logger));
  return app;
}

/** What a worker answers: only how it is. */
export function createHealthApp(ctx: Context, { readiness }: Pick<AppParts, 'readiness'>): Express {
  return bareApp(ctx).use(healthRoutes(readiness), nothingHere, problems(ctx.logger));
}

function bareApp(ctx: Context): Express {
  const app = express();
  app.disable('x-powered-by').set('trust proxy', ctx.config.trustProxy);
  return app.use(requestLog(ctx.logger), requestMetrics(ctx), securityHeaders(ctx.config.publicUrl));
}
