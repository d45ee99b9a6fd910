/** The upload engine behind a real HTTP server, on a real database and real storage. */
import express from 'express';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import type { Db } from '../../db/dialect.ts';
import { openDatabase } from '../../db/dialect.ts';
import type { MediaRow, UploadRow } from '../../db/schema.ts';
import type { Principal, Scope } from '../../server/auth/principal.ts';
import { loadConfig, type Config } from '../../server/config.ts';
import { AppError } from '../../server/errors.ts';
import { authorize } from '../../server/hooks/authorize.ts';
import { create } from '../../server/hooks/create.ts';
import { finish } from '../../server/hooks/finish.ts';
import { reject } from '../../server/hooks/reject.ts';
import { expire } from '../../server/hooks/sweep.ts';
import { terminate } from '../../server/hooks/terminate.ts';
import { CONNECTIONS } from '../../server/http/connections.ts';
import { openStorage } from '../../server/storage/index.ts';
import { sourceKey, type Storage } from '../../server/storage/storage.ts';
import {
  createUploads,
  type UploadHooks,
  type Uploads,
  type UploadsOptions,
} from '../../server/uploads/index.ts';
import { openTestDatabase, type DialectName, type TestDatabase } from '../databases.ts';
import { s3Environment, startS3 } from '../services/s3.ts';

export type StorageName = 'disk' | 's3';

/** For suites that run on both: the real disk, and a real S3 server. */
export const STORAGES: StorageName[] = ['disk', 's3'];

/** Where uploads live, while servers come and go. */
export interface Ground {
  database: TestDatabase;
  env: Record<string, string>;
  close(): Promise<void>;
}

export async function openGround(
  dialect: DialectName = 'sqlite',
  storage: StorageName = 'disk',
): Promise<Ground> {
  const database = await openTestDatabase(dialect);
  const env = {
    DATA_DIR: database.dir,
    DISK_FLOOR: '0',
    ...(storage === 's3' ? s3Environment(await startS3()) : {}),
  };
  return { database, env, close: () => database.close() };
}

export interface Engine {
  /** Of the collection: `http://…/files`. */
  url: string;
  port: number;
  db: Db;
  config: Config;
  storage: Storage;
  uploads: Uploads;
  /** Media ids in the order in which their finish committed. */
  finished: string[];
  row(id: string): Promise<UploadRow>;
  media(id: string): Promise<MediaRow>;
  /** SHA-256 of a finished upload's object; undefined when there is none. */
  digest(id: string): Promise<string | undefined>;
  close(): Promise<void>;
}

export interface EngineOptions {
  env?: Record<string, string>;
  uploads?: UploadsOptions;
  hooks?: Partial<UploadHooks>;
  /** Default: any free one. */
  port?: number;
  trustProxy?: boolean;
  /** Connect to the database by a connection of its own, as another process would. PostgreSQL, or really another process. */
  ownConnection?: boolean;
}

/** Starts an engine on a ground; several may share one. */
export async function startEngine(ground: Ground, options: EngineOptions = {}): Promise<Engine> {
  const config = loadConfig({ ...ground.env, ...options.env });
  const { url, file } = ground.database;
  const db = options.ownConnection ? openDatabase({ url, file, poolSize: 5 }) : ground.database.db;
  const storage = openStorage(config);
  const finished: string[] = [];
  const hooks: UploadHooks = {
    authorize: authorize(authenticate),
    create: create(config),
    arrive: () => Promise.resolve(),
    mayFollow: () => false,
    isFollowed: () => Promise.resolve(false),
    finish: finish((_trx, media) => Promise.resolve(void finished.push(media.id))),
    reject,
    terminate,
    expire,
    ...options.hooks,
  };
  const logger = pino({ level: process.env['TEST_LOG'] ?? 'silent' });
  const uploads = createUploads({ config, db, storage, logger }, hooks, options.uploads);
  const app = express().set('trust proxy', options.trustProxy ?? false);
  app.use('/files', (request, response) => uploads.handle(request, response));
  const server = await listen(app, options.port ?? 0);
  const { port } = server.address() as AddressInfo;
  return {
    ...{ url: `http://127.0.0.1:${port}/files`, port, db, config, storage, uploads, finished },
    row: (id) => db.selectFrom('upload').selectAll().where('id', '=', id).executeTakeFirstOrThrow(),
    media: (id) => db.selectFrom('media').selectAll().where('id', '=', id).executeTakeFirstOrThrow(),
    digest: async (id) => {
      if (!(await storage.stat(sourceKey(id)))) return undefined;
      const hash = createHash('sha256');
      for await (const chunk of await storage.read(sourceKey(id))) hash.update(chunk as Buffer);
      return hash.digest('hex');
    },
    async close() {
      await uploads.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      storage.close();
      if (options.ownConnection) await db.destroy();
    },
  };
}

/** What the tests of one file or block work on. */
export interface Stage {
  ground: Ground;
  engine: Engine;
}

/** A ground and an engine on it, from before the first test of this block to after its last. */
export function useEngine(storage: StorageName = 'disk', options: EngineOptions = {}): Stage {
  const stage = {} as Stage;
  beforeAll(async () => {
    stage.ground = await openGround('sqlite', storage);
    stage.engine = await startEngine(stage.ground, options);
  }, 180_000); // the first one starts the S3 server
  afterAll(async () => {
    await stage.engine?.close();
    await stage.ground?.close();
  });
  return stage;
}

async function listen(app: express.Express, port: number): Promise<Server> {
  // Node's 5 s may be over on a busy machine just when a client uses a connection again.
  const server = createServer(CONNECTIONS, app).listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** `Bearer alice` is alice who may upload, `Bearer alice read` is alice who may only read. */
function authenticate({ authorization = '' }: { authorization?: string | undefined }): Promise<Principal> {
  const [, owner, scope = 'upload'] = authorization.split(' ');
  if (!owner) return Promise.reject(new AppError(401, 'unauthorized', 'Log in.'));
  return Promise.resolve({ owner, scopes: new Set([scope as Scope]) });
}

type Body = NonNullable<RequestInit['body']>;

export interface Answer {
  status: number;
  headers: Headers;
  body: string;
  /** Stable code of a problem document. */
  code: string | undefined;
}

/** One tus request as alice. Headers may be overridden, or left out with undefined. */
export async function tus(
  method: string,
  url: string,
  headers: Record<string, string | undefined> = {},
  body?: Body,
): Promise<Answer> {
  const all = Object.entries({
    'Tus-Resumable': '1.0.0',
    Authorization: 'Bearer alice',
    ...(body === undefined ? {} : { 'Content-Type': 'application/offset+octet-stream' }),
    ...headers,
  }).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const response = await fetch(url, {
    method,
    headers: all,
    ...(body === undefined ? {} : { body }),
    ...(body instanceof ReadableStream ? { duplex: 'half' } : {}),
    redirect: 'manual',
  });
  const answer = response.body ? await text(response.body) : '';
  const code = response.headers.get('content-type')?.startsWith('application/problem+json')
    ? (JSON.parse(answer) as { code: string }).code
    : undefined;
  return { status: response.status, headers: response.headers, body: answer, code };
}

export const metadata = (pairs: Record<string, string>): string =>
  Object.entries(pairs)
    .map(([key, value]) => `${key} ${Buffer.from(value).toString('base64')}`)
    .join(',');

/** The id in an upload's address. */
export const idOf = (url: string | null | undefined): string => url?.split('/').at(-1) ?? '';

/** Creates an upload; returns its URL and id. */
export async function createUpload(
  engine: Pick<Engine, 'url'>,
  length: number,
  headers: Record<string, string> = {},
): Promise<{ url: string; id: string }> {
  const answer = await tus('POST', engine.url, { 'Upload-Length': String(length), ...headers });
  if (answer.status !== 201) throw new Error(`creation answered ${answer.status} ${answer.body}`);
  const url = answer.headers.get('location') ?? '';
  return { url, id: idOf(url) };
}

export const patch = (url: string, offset: number, body: Body, headers: Record<string, string> = {}) =>
  tus('PATCH', url, { 'Upload-Offset': String(offset), ...headers }, body);

export const offsetOf = (answer: Answer): number => Number(answer.headers.get('upload-offset') ?? NaN);

/** How often the media was told that its upload is whole. */
export async function finishesOf({ db }: Pick<Engine, 'db'>, id: string): Promise<number> {
  const events = await db.selectFrom('event').select('payload').where('mediaId', '=', id).execute();
  return events.filter(({ payload }) => payload.includes('"processing"')).length;
}

/** Everything that storage holds of an upload, finished or not. */
export async function keysOf({ storage }: Pick<Engine, 'storage'>, ...ids: string[]): Promise<string[]> {
  const keys: string[] = [];
  for (const prefix of ['incoming/', 'partials/', 'media/'])
    for await (const { key } of storage.list(prefix)) if (ids.some((id) => key.includes(id))) keys.push(key);
  return keys;
}

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
