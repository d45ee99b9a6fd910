/** The app on a real database and disk storage, with two owners, an admin, and small hand-made outputs. */
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { get, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { createFeed, type Feed } from '../../server/events/feed.ts';
import type { Express } from 'express';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { createAuthenticator } from '../../server/auth/index.ts';
import { createKey } from '../../server/auth/keys.ts';
import type { Scope } from '../../server/auth/principal.ts';
import { loadConfig } from '../../server/config.ts';
import type { Context } from '../../server/context.ts';
import { createApp, type AppParts } from '../../server/index.ts';
import { newId } from '../../server/ids.ts';
import { DiskStorage } from '../../server/storage/disk.ts';
import { openTestDatabase, type DialectName } from '../databases.ts';
import type { JobRow, MediaRow } from '../../db/schema.ts';

export interface TestApp {
  app: Express;
  ctx: Context;
  /** Authorization headers. Ann and Bob may upload and read. */
  as: Record<'admin' | 'ann' | 'bob' | 'annReads' | 'annUploads', { Authorization: string }>;
  /** The same keys, bare. */
  keys: Record<keyof TestApp['as'], string>;
  /** Lines of the log, as objects. */
  log: Record<string, unknown>[];
  close(): Promise<void>;
}

export const JWT_SECRET = 'a secret of at least thirty-two bytes';

export async function openTestApp(
  dialect: DialectName,
  env: Record<string, string> = {},
  parts: Partial<AppParts> = {},
): Promise<TestApp> {
  const database = await openTestDatabase(dialect);
  const log: Record<string, unknown>[] = [];
  const logger = pino(
    { level: 'debug' },
    { write: (text: string) => void log.push(JSON.parse(text) as Record<string, unknown>) },
  );
  const ctx: Context = {
    config: loadConfig({ DATA_DIR: database.dir, DATABASE_URL: database.url, JWT_SECRET, ...env }),
    db: database.db,
    storage: new DiskStorage(join(database.dir, 'objects')),
    logger,
    telemetry: { logger, registry: new Registry() },
    secret: Buffer.alloc(32, 7),
  };
  const feed: Feed = createFeed(ctx.db);
  const app = createApp(ctx, {
    uploads: { handle: (req, res) => Promise.resolve(void res.end(`uploads ${req.method} ${req.url}`)) },
    feed,
    authenticate: createAuthenticator(ctx),
    readiness: () => Promise.resolve([{ name: 'database', ok: true }]),
    ...parts,
  });
  const keys = await makeKeys(ctx);
  const entries = Object.entries(keys).map(([who, key]) => [who, { Authorization: `Bearer ${key}` }]);
  return {
    app,
    ctx,
    keys,
    as: Object.fromEntries(entries) as TestApp['as'],
    log,
    async close() {
      feed.close();
      await database.close();
    },
  };
}

async function makeKeys({ db }: Context): Promise<TestApp['keys']> {
  const key = async (owner: string, ...scopes: Scope[]) =>
    (await createKey(db, { name: owner, owner, scopes })).key;
  return {
    admin: await key('root', 'admin'),
    ann: await key('ann', 'upload', 'read'),
    bob: await key('bob', 'upload', 'read'),
    annReads: await key('ann', 'read'),
    annUploads: await key('ann', 'upload'),
  };
}

/** Inserts a media row: Ann's, private and processing unless told otherwise. */
export async function makeMedia({ db }: Context, columns: Partial<MediaRow> = {}): Promise<MediaRow> {
  const now = Date.now();
  const id = columns.id ?? newId();
  return db
    .insertInto('media')
    .values({
      id,
      owner: 'ann',
      title: 'A film',
      filename: 'film.mp4',
      filetype: 'video/mp4',
      status: 'processing',
      attempt: 1,
      visibility: 'private',
      sourceKey: `media/${id}/source`,
      source: null,
      errorCode: null,
      errorMessage: null,
      createdAt: now,
      updatedAt: now,
      deletedAt: null,
      ...columns,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** Inserts a job row: a queued probe of the media. */
export async function makeJob(
  { db }: Context,
  media: MediaRow,
  columns: Partial<JobRow> = {},
): Promise<JobRow> {
  const id = newId();
  const now = Date.now();
  return db
    .insertInto('job')
    .values({
      id,
      key: id,
      task: 'probe',
      mediaId: media.id,
      mediaAttempt: media.attempt,
      owner: media.owner,
      status: 'queued',
      priority: 0,
      turn: 0,
      attempts: 0,
      maxAttempts: 5,
      runAt: now,
      payload: '{}',
      cancelRequested: 0,
      createdAt: now,
      ...columns,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** Id of the output that holds the renditions of a media. */
export const streamOf = ({ id }: Pick<MediaRow, 'id'>): string => `s-${id}`;

/** Files of one rendition; segments are bytes that tell their place. */
export const HLS_FILES: Record<string, Buffer> = {
  '360p/index.m3u8': Buffer.from(
    [
      '#EXTM3U',
      '#EXT-X-TARGETDURATION:6',
      '#EXT-X-MAP:URI="init.mp4"',
      '#EXTINF:6.0,',
      'seg-00001.m4s',
      '#EXT-X-ENDLIST',
      '',
    ].join('\n'),
  ),
  '360p/init.mp4': Buffer.from('init'),
  '360p/seg-00001.m4s': Buffer.from(Array.from({ length: 1000 }, (_, i) => i % 251)),
};

/** Stores source, HLS tree and poster of a media and their output rows. */
export async function makeOutputs(ctx: Context, media: MediaRow): Promise<void> {
  const storage = ctx.storage as DiskStorage;
  const files: Record<string, Buffer> = { source: Buffer.from('<script>alert(1)</script>') };
  for (const [name, bytes] of Object.entries(HLS_FILES)) files[`tree/${name}`] = bytes;
  for (const name of ['poster.jpg', 'poster.webp']) files[`poster/${name}`] = Buffer.from(name);
  for (const [name, bytes] of Object.entries(files)) {
    const path = storage.pathOf(`media/${media.id}/${name}`);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes);
  }
  const details = {
    ladder: {
      ...{ state: 'complete', duration: 6 },
      variants: [
        {
          ...{ name: '360p', width: 640, height: 360, frameRate: 25, codecs: 'avc1.4d401e' },
          ...{ bandwidth: 800_000, averageBandwidth: 700_000 },
        },
      ],
      audio: [],
    },
    poster: { width: 640, height: 360, placeholder: 'data:image/webp;base64,AAAA' },
  };
  for (const [kind, prefix] of [
    ['ladder', 'tree'],
    ['poster', 'poster'],
  ] as const)
    await ctx.db
      .insertInto('output')
      .values({
        id: kind === 'ladder' ? streamOf(media) : newId(),
        mediaId: media.id,
        mediaAttempt: media.attempt,
        kind,
        prefix: `media/${media.id}/${prefix}/`,
        bytes: 1234,
        details: JSON.stringify(details[kind]),
        createdAt: Date.now(),
      })
      .execute();
}

/** Asks with the address and headers exactly as given: no dots resolved, nothing unzipped. */
export async function askRaw(
  app: Express,
  path: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; headers: IncomingHttpHeaders; body: Buffer }> {
  const server = app.listen(0, '127.0.0.1');
  try {
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const asked = get({ host: '127.0.0.1', port, path, headers, agent: false });
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    return { status: answer.statusCode ?? 0, headers: answer.headers, body: await buffer(answer) };
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

/** What tests look at of an answer. (supertest says `any`.) */
export interface Answer {
  status: number;
  headers: Record<string, unknown>;
  body: unknown;
}

/** The code of a problem document. */
export const codeOf = (body: unknown): string | undefined => (body as { code?: string }).code;

export const A_STRING = expect.any(String) as unknown;
export const A_LIST = expect.any(Array) as unknown;
