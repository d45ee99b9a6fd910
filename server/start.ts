/** Puts the parts of a role together. Everything long-lived is started here and stopped here. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAuthenticator } from './auth/index.ts';
import { ensureAdminKey } from './auth/keys.ts';
import { processNumber } from './cluster.ts';
import type { Context } from './context.ts';
import { messageOf } from './errors.ts';
import { pruneEvents } from './events/events.ts';
import { createFeed } from './events/feed.ts';
import { createUploadHooks } from './hooks/index.ts';
import { CONNECTIONS } from './http/connections.ts';
import { createApp, createHealthApp } from './index.ts';
import { pruneJobs } from './jobs/prune.ts';
import { startWorker, type Worker, type WorkerOptions } from './jobs/worker.ts';
import {
  advance,
  cleanScratch,
  closePipeline,
  mediaFailed,
  missingTools,
  refuseMissingEncoders,
  sweepEarly,
} from './pipeline/index.ts';
import { openRemoteEncoding, type RemoteEncoding } from './providers/index.ts';
import { createReadiness } from './readiness.ts';
import { createBackgroundTasks, createEarlyTasks, createTasks } from './tasks.ts';
import { createUploads, type Uploads } from './uploads/index.ts';

export interface Millrace {
  /** The port it listens on (PORT may be 0). */
  port: number;
  /** Flushes running uploads, hands running jobs back, closes connections. */
  stop(): Promise<void>;
}

const SWEEP_EVERY_MS = 60_000;
/** Characters: an administrator's key below that is warned of. */
const GUESSABLE = 16;

/** Starts the role: `server` takes uploads and requests, `worker` runs jobs, `all` does both. */
export async function startMillrace(ctx: Context): Promise<Millrace> {
  const { role } = ctx.config;
  if (role !== 'server') await refuseMissingEncoders(ctx);
  const authenticate = createAuthenticator(ctx);
  const uploads = createUploads(ctx, createUploadHooks(ctx, authenticate));
  const feed = createFeed(ctx.db, { logger: ctx.logger.child({ name: 'feed' }) });
  const readiness = createReadiness(ctx);
  const remote = await openRemoteEncoding(ctx, (trx, media) => advance(trx, media, ctx.config.encoding));
  const app =
    role === 'worker'
      ? createHealthApp(ctx, { readiness })
      : createApp(ctx, { uploads, feed, authenticate, readiness, remote });
  // What only one of the processes on this port does is done by the first.
  const alone = processNumber() === 0;
  // Before the first request: a client that is told that it has no valid key does not come again.
  const admin = role !== 'worker' && alone ? await ensureAdminKey(ctx) : undefined;
  const server = await listen(ctx, createServer(CONNECTIONS, app));
  const works = role !== 'server' && alone;
  const worker = works ? await work(ctx, uploads, remote) : undefined;
  const courier = works ? remote?.start() : undefined;
  const sweeper = role !== 'worker' && alone ? sweepRegularly(ctx, uploads) : undefined;
  const { port } = server.address() as AddressInfo;
  if (admin) greet(ctx, port, admin.key);

  return {
    port,
    async stop() {
      sweeper?.stop();
      const closed = new Promise((resolve) => server.close(resolve));
      feed.close();
      await Promise.all([uploads.close(), courier?.stop(), worker?.stop(ctx.config.shutdownGraceMs)]);
      server.closeAllConnections();
      await closed;
      await sweeper?.finished();
    },
  };
}

async function listen(ctx: Context, server: Server): Promise<Server> {
  const { host, port } = ctx.config;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  }).catch((error: NodeJS.ErrnoException) => {
    throw new Error(LISTEN_HINTS[error.code ?? '']?.(host, port) ?? messageOf(error), { cause: error });
  });
  return server;
}

/** What to do about it, by the system's word for it. */
const LISTEN_HINTS: Record<string, (host: string, port: number) => string> = {
  EADDRINUSE: (_, port) =>
    `port ${port} is taken by another program. End that one, or set PORT to another port.`,
  EACCES: (_, port) => `port ${port} needs more rights than this user has. Set PORT to 1024 or above.`,
  EADDRNOTAVAIL: (host) =>
    `this machine has no address ${host}. Set HOST to one it has, or leave it out for all.`,
  ENOTFOUND: (host) =>
    `nobody knows the address ${host}. Set HOST to one of this machine, or leave it out for all.`,
};

async function work(ctx: Context, uploads: Uploads, remote: RemoteEncoding | undefined): Promise<Worker> {
  await cleanScratch(ctx);
  await warnWithoutFfmpeg(ctx);
  const { concurrency, early } = ctx.config.encoding;
  const pools = [
    { tasks: createTasks(ctx, uploads, remote), concurrency },
    { tasks: createBackgroundTasks(ctx), concurrency: 1 },
  ];
  if (early.on) pools.push({ tasks: createEarlyTasks(ctx), concurrency: early.concurrency });
  const workers = pools.map((pool) => startPool(ctx, pool, remote));
  return {
    async stop(graceMs: number) {
      await Promise.all(workers.map((worker) => worker.stop(graceMs)));
      await closePipeline(ctx);
    },
  };
}

/** `npm start` sees to it that FFmpeg is there; what starts the server itself may not. */
async function warnWithoutFfmpeg(ctx: Context): Promise<void> {
  const { fallback, choice } = ctx.config.encoder;
  if (fallback === 'stream' && choice.every((encoder) => encoder === 'stream')) return;
  const missing = await missingTools(ctx);
  if (missing.length)
    ctx.logger.warn(
      `${missing.join(' and ')} can't be found: uploads are taken, but fail as ffmpeg_missing. Install FFmpeg, or set FFMPEG_PATH and FFPROBE_PATH.`,
    );
}

function startPool(
  ctx: Context,
  pool: Pick<WorkerOptions, 'tasks' | 'concurrency'>,
  remote: RemoteEncoding | undefined,
): Worker {
  return startWorker({
    db: ctx.db,
    ...pool,
    leaseMs: ctx.config.jobs.leaseMs,
    logger: ctx.logger.child({ name: 'worker' }),
    onFailed: async (trx, job, failure) => {
      await mediaFailed(trx, job, failure, ctx.config.encoding);
      await remote?.onFailed(trx, job, failure);
    },
  });
}

/** Sweeps now and every minute, one sweep at a time. A sweep that fails is logged and tried again next time. */
function sweepRegularly(ctx: Context, uploads: Uploads): { stop(): void; finished(): Promise<void> } {
  const logger = ctx.logger.child({ name: 'sweep' });
  const clean = async (): Promise<void> => {
    await uploads.sweep();
    await sweepEarly(ctx);
    await pruneEvents(ctx.db, Date.now() - ctx.config.eventRetentionMs);
    await pruneJobs(ctx.db, Date.now() - ctx.config.jobs.retentionMs);
  };
  let running: Promise<void> | undefined;
  const sweep = (): void => {
    running ??= clean()
      .catch((error: unknown) => logger.error({ err: error }, `sweep failed: ${messageOf(error)}`))
      .finally(() => (running = undefined));
  };
  sweep();
  const timer = setInterval(sweep, SWEEP_EVERY_MS);
  return { stop: () => clearInterval(timer), finished: async () => running };
}

/** Tells the person in front of the terminal where to go; with the admin key, the one time it is known. */
function greet(ctx: Context, port: number, key: string | undefined): void {
  const origin = ctx.config.publicUrl ?? `http://localhost:${port}`;
  const lines = key
    ? [
        `Millrace is ready: ${origin}/?key=${key}`,
        'The link logs this browser in as the administrator. Keep it: the key is stored only as a hash.',
      ]
    : [
        `Millrace is ready: ${origin}`,
        ...(ctx.config.auth.adminKey
          ? ['Log in with ADMIN_KEY.']
          : ['Lost the admin key? `npm run key -- create --scopes admin` makes another.']),
      ];
  if ((ctx.config.auth.adminKey?.length ?? GUESSABLE) < GUESSABLE)
    ctx.logger.warn(`ADMIN_KEY is shorter than ${GUESSABLE} characters: it can be guessed`);
  process.stdout.write(`\n  ${lines.join('\n  ')}\n\n`);
}
