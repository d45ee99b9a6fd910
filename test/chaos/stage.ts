/** Where chaos happens: real servers on a database and storage, behind a bad network, S3 behind a proxy with faults. */
import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { createHash } from 'node:crypto';
import type { Db } from '../../db/dialect.ts';
import { loadConfig } from '../../server/config.ts';
import { openStorage } from '../../server/storage/index.ts';
import { sourceKey, type Storage } from '../../server/storage/storage.ts';
import { openTestDatabase } from '../databases.ts';
import { startServer, type TestServer } from '../server.ts';
import { connectS3, s3Environment, startS3, type TestS3 } from '../services/s3.ts';
import { startFaultProxy, type FaultProxy } from '../uploads/fault-proxy.ts';
import { startEngine, type Ground } from '../uploads/harness.ts';
import { startNetwork, type Network } from './network.ts';
import { PART, POOL, type Ability } from './plan.ts';

export interface StageOptions {
  storage: 'disk' | 's3';
  database: 'sqlite' | 'postgres';
  servers: number;
  maxSize?: number;
}

export interface Stage {
  servers: TestServer[];
  network: Network;
  /** Between the servers and S3. */
  faults: FaultProxy | undefined;
  db: Db;
  storage: Storage;
  can: Ability;
  /** SHA-256 of a media's source, straight from storage; undefined when there is none. */
  digest(id: string): Promise<string | undefined>;
  /** Stops the servers, lets a sweep take what crashes left, and says what is still there of unfinished uploads. */
  sweepOut(): Promise<string[]>;
  close(): Promise<void>;
}

export async function openStage(options: StageOptions): Promise<Stage> {
  const database = await openTestDatabase(options.database, { migrated: options.database === 'postgres' });
  const s3 = options.storage === 's3' ? await startS3() : undefined;
  const faults = s3 && (await startFaultProxy(s3.endpoint));
  const servers: TestServer[] = [];
  const network = await startNetwork(() => servers.map(({ url }) => Number(new URL(url).port)));
  const env = {
    ...{ DATA_DIR: database.dir, DISK_FLOOR: '0', UPLOAD_PART_SIZE: '5MB', LOG_LEVEL: 'warn' },
    // The bytes are noise: what becomes of them after the upload does not matter here.
    ...{ FFPROBE_PATH: 'false', SANDBOX: 'off', WORKER_CONCURRENCY: '1' },
    ...(database.url ? { DATABASE_URL: database.url } : {}),
    ...(s3 ? s3Environment(s3) : {}),
    ...(s3 && database.url ? { ROLE: 'server' } : {}),
  };
  const storage = openStorage(loadConfig(env));
  for (let i = 0; i < options.servers; i++)
    servers.push(
      await startServer({
        ...env,
        ...(faults ? { S3_ENDPOINT: faults.url } : {}),
        PUBLIC_URL: `http://127.0.0.1:${network.port}`,
        SCRATCH_DIR: `${database.dir}/scratch-${i}`,
        // One of them commits what comes as if its clients were slow; with 10 s the others never do.
        UPLOAD_CHECKPOINT: i ? '10s' : '50ms',
      }),
    );
  const db = database.db;
  return {
    ...{ servers, network, faults, db, storage },
    can: await abilityOf(servers[0]!, options),
    digest: (id) => digestOf(storage, sourceKey(id)),
    async sweepOut() {
      await Promise.all(servers.map((server) => server.stop()));
      const ground = { database, env } as unknown as Ground;
      const engine = await startEngine(ground, { uploads: { strayAfterMs: -60_000 } });
      await engine.uploads.sweep();
      await engine.close();
      return leftBehind(storage, s3);
    },
    async close() {
      await Promise.all(servers.map((server) => server.dispose()));
      await network.close();
      await faults?.close();
      storage.close();
      await database.close();
    },
  };
}

/** What the server says it can. */
async function abilityOf(server: TestServer, options: StageOptions): Promise<Ability> {
  const { headers } = await server.fetch('/files', { method: 'OPTIONS' });
  const extensions = (headers.get('tus-extension') ?? '').split(',');
  return {
    servers: options.servers,
    s3: options.storage === 's3',
    checksum: extensions.includes('checksum'),
    concatenation: extensions.includes('concatenation'),
    ietf: headers.has('upload-limit'),
    maxSize: options.maxSize ?? Math.min(POOL, 8 * PART),
  };
}

async function digestOf(storage: Storage, key: string): Promise<string | undefined> {
  if (!(await storage.stat(key))) return undefined;
  const hash = createHash('sha256');
  for await (const chunk of await storage.read(key)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

async function leftBehind(storage: Storage, s3: TestS3 | undefined): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of storage.list('incoming/')) found.push(key);
  if (!s3) return found;
  const client = connectS3(s3);
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: s3.bucket }));
  client.destroy();
  return [...found, ...Uploads.map(({ Key }) => `multipart upload of ${Key}`)];
}
