/** Millrace with Stream switched on, in this process: its HTTP surface, worker and courier, beside a stand-in. */
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { createAuthenticator } from '../../server/auth/index.ts';
import { createKey } from '../../server/auth/keys.ts';
import { loadConfig } from '../../server/config.ts';
import type { Context } from '../../server/context.ts';
import type { EncodeAttemptRow, MediaRow } from '../../db/schema.ts';
import { transact } from '../../db/transaction.ts';
import { createFeed } from '../../server/events/feed.ts';
import { CONNECTIONS } from '../../server/http/connections.ts';
import { newId } from '../../server/ids.ts';
import { createApp } from '../../server/index.ts';
import type { Task } from '../../server/jobs/job.ts';
import { startWorker, type Worker } from '../../server/jobs/worker.ts';
import { createMedia, transition } from '../../server/media/media.ts';
import { advance, mediaFailed } from '../../server/pipeline/index.ts';
import { openRemoteEncoding, type Courier, type RemoteEncoding } from '../../server/providers/index.ts';
import { DiskStorage } from '../../server/storage/disk.ts';
import { sourceKey, type Storage } from '../../server/storage/storage.ts';
import { createTasks } from '../../server/tasks.ts';
import { openTestDatabase, type DialectName } from '../databases.ts';
import { freePort } from '../ports.ts';
import { ACCOUNT, startStandIn, TOKEN, type StandIn } from '../stand-ins/stream/server.ts';
import type { WorldOptions } from '../stand-ins/stream/world.ts';

export const WEBHOOK_SECRET = 'a secret of the webhook';

export interface StreamApp {
  ctx: Context;
  remote: RemoteEncoding;
  standIn: StandIn;
  /** Where the app answers. */
  url: string;
  /** Authorization of an administrator. */
  headers: { Authorization: string };
  log: Record<string, unknown>[];
  /** Stores bytes as an upload that just finished; resolves with its media's id. */
  upload(bytes: Buffer, encoder?: string): Promise<string>;
  media(id: string): Promise<MediaRow>;
  /** The newest attempt of a media. */
  attempt(id: string): Promise<EncodeAttemptRow>;
  /** Starts submitting, looking and running jobs. */
  start(): void;
  /** Events of a media, oldest first. */
  events(id: string): Promise<{ type: string; payload: Record<string, unknown> }[]>;
  close(): Promise<void>;
}

export interface StreamOptions {
  world?: WorldOptions;
  env?: Record<string, string>;
  storage?: Storage;
  /** False: nothing is submitted or looked at before `start` is called. */
  started?: boolean;
  /** Every job waits for this before it runs. */
  before?: (task: string) => Promise<void>;
}

/** Fast enough for tests: what takes minutes takes moments. */
export const FAST = {
  STREAM_POLL_FIRST: '300ms',
  STREAM_POLL_LONGEST: '600ms',
  STREAM_LOOKUP: '150ms',
  STREAM_TIMEOUT: '3s',
};

const held = (tasks: Record<string, Task>, before: StreamOptions['before']): Record<string, Task> =>
  Object.fromEntries(
    Object.entries(tasks).map(([name, task]) => [
      name,
      async (context) => {
        await before?.(name);
        return task(context);
      },
    ]),
  );

export async function openStreamApp(dialect: DialectName, options: StreamOptions = {}): Promise<StreamApp> {
  const database = await openTestDatabase(dialect);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const webhook = { url: `${url}/webhooks/cloudflare`, secret: WEBHOOK_SECRET };
  const standIn = await startStandIn({ webhook, ...options.world });
  const log: Record<string, unknown>[] = [];
  const logger = pino(
    { level: 'debug' },
    { write: (text: string) => void log.push(JSON.parse(text) as Record<string, unknown>) },
  );
  const ctx: Context = {
    config: loadConfig({
      ...{ DATA_DIR: database.dir, DATABASE_URL: database.url, PUBLIC_URL: url },
      ...{ ENCODER: 'stream', STREAM_ACCOUNT_ID: ACCOUNT, STREAM_API_TOKEN: TOKEN },
      ...{ STREAM_WEBHOOK_SECRET: WEBHOOK_SECRET, STREAM_API_URL: standIn.url },
      ...FAST,
      ...options.env,
    }),
    db: database.db,
    storage: options.storage ?? new DiskStorage(join(database.dir, 'objects')),
    logger,
    telemetry: { logger, registry: new Registry() },
    secret: Buffer.alloc(32, 7),
  };
  const { db, config } = ctx;
  await mkdir(config.encoding.scratchDir, { recursive: true });
  const next = (trx: Parameters<typeof advance>[0], media: MediaRow) => advance(trx, media, config.encoding);
  const remote = (await openRemoteEncoding(ctx, next))!;
  const feed = createFeed(db);
  const app = createApp(ctx, {
    uploads: { handle: (_req, res) => Promise.resolve(void res.end()) },
    ...{ feed, remote, authenticate: createAuthenticator(ctx), readiness: () => Promise.resolve([]) },
  });
  const server = createServer(CONNECTIONS, app).listen(port, '127.0.0.1');
  await once(server, 'listening');
  const { key } = await createKey(db, { name: 'test', owner: 'me', scopes: ['admin'] });
  let running: { worker: Worker; courier: Courier } | undefined;
  const start = (): void => {
    const discard = (): Promise<void> => Promise.resolve();
    running ??= {
      courier: remote.start(),
      worker: startWorker({
        ...{ db, concurrency: 2, leaseMs: 5_000, logger },
        tasks: held(createTasks(ctx, { discard }, remote), options.before),
        onFailed: async (trx, job, failure) => {
          await mediaFailed(trx, job, failure, config.encoding);
          await remote.onFailed(trx, job, failure);
        },
      }),
    };
  };
  if (options.started ?? true) start();
  return {
    ...{ ctx, remote, standIn, url, log, start },
    headers: { Authorization: `Bearer ${key}` },
    async upload(bytes, encoder = 'stream') {
      const id = newId();
      await ctx.storage.put(sourceKey(id), bytes);
      await transact(db, async (trx) => {
        const name = { title: 'test', filename: null, filetype: null, visibility: 'private' };
        await createMedia(trx, { id, owner: 'me', ...name, encoder, status: 'uploading' });
        const row = await transition(trx, id, 'processing', { attempt: 1 }, { sourceKey: sourceKey(id) });
        await next(trx, row!);
      });
      return id;
    },
    media: (id) => db.selectFrom('media').selectAll().where('id', '=', id).executeTakeFirstOrThrow(),
    attempt: (id) =>
      db
        .selectFrom('encodeAttempt')
        .selectAll()
        .where('mediaId', '=', id)
        .orderBy('mediaAttempt', 'desc')
        .orderBy('refetches', 'desc')
        .limit(1)
        .executeTakeFirstOrThrow(),
    async events(id) {
      const rows = await db.selectFrom('event').selectAll().where('mediaId', '=', id).orderBy('id').execute();
      return rows.map(({ type, payload }) => ({
        type,
        payload: JSON.parse(payload) as Record<string, unknown>,
      }));
    },
    async close() {
      await Promise.all([running?.courier.stop(), running?.worker.stop(5_000)]);
      feed.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await standIn.close();
      await database.close();
      expect(standIn.world.violations).toEqual([]);
    },
  };
}
