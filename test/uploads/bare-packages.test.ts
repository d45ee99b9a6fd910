/**
 * Why the packages are not used as they come. Each scenario runs on @tus/server 2.4.5 with @tus/file-store 2.1.1 and
 * @tus/s3-store 2.0.7, set up as their READMEs say, where it shows the fault, and on Millrace, where it must hold.
 */
import {
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  type S3Client,
} from '@aws-sdk/client-s3';
import { FileStore } from '@tus/file-store';
import { S3Store } from '@tus/s3-store';
import { MemoryLocker, Server, type DataStore } from '@tus/server';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { Readable } from 'node:stream';
import { pino } from 'pino';
import { finish } from '../../server/hooks/finish.ts';
import { newId } from '../../server/ids.ts';
import { insertUpload } from '../../server/uploads/ledger/ledger.ts';
import { Leases } from '../../server/uploads/ledger/leases.ts';
import { transact } from '../../db/transaction.ts';
import { eventually } from '../server.ts';
import { connectS3 } from '../services/s3.ts';
import { startFaultProxy, type FaultProxy } from './fault-proxy.ts';
import { createUpload, offsetOf, openGround, patch, startEngine, tus, type Ground } from './harness.ts';

const MiB = 1024 * 1024;
const PART = 5 * MiB;
const bytes = randomBytes(17 * MiB + 5);

/** A tus server, ours or the bare one, on storage that may be made to fail. */
interface Subject {
  url: string;
  /** Ids of uploads whose end the application heard of, once per time. */
  finished: string[];
  /** Lets the application's next reaction to a finish fail. */
  failNextFinish(): void;
  /** The finished object. */
  stored(id: string): Promise<Buffer | undefined>;
  /** Every unfinished upload gets too old; then the clean-up runs. */
  expire(): Promise<void>;
  /** The same storage, a new process's memory. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

let ground: Ground;
let disk: Ground;
let proxy: FaultProxy;
let s3: S3Client;
let bucket: string;

beforeAll(async () => {
  ground = await openGround('sqlite', 's3');
  disk = await openGround('sqlite', 'disk');
  proxy = await startFaultProxy(ground.env['S3_ENDPOINT'] ?? '');
  bucket = ground.env['S3_BUCKET'] ?? '';
  s3 = connectS3({
    endpoint: ground.env['S3_ENDPOINT'] ?? '',
    region: 'us-east-1',
    accessKey: ground.env['S3_ACCESS_KEY'] ?? '',
    secretKey: ground.env['S3_SECRET_KEY'] ?? '',
    forcePathStyle: true,
  });
});
afterAll(async () => {
  s3?.destroy();
  await proxy?.close();
  await ground?.close();
  await disk?.close();
});
afterEach(() => {
  proxy.rule = () => 'pass';
  proxy.calls = [];
  proxy.answered = [];
});

type Settings = Partial<ConstructorParameters<typeof S3Store>[0]> & {
  /** The SDK's default, which Ceph refuses too: every PATCH is answered 500. */
  sdkChecksums?: boolean;
  /** What a store would say of itself that can do more than FileStore. */
  extensions?: string[];
};

const bareS3 = ({ sdkChecksums, extensions: _none, ...settings }: Settings = {}): Promise<Subject> =>
  openBare(
    () =>
      new S3Store({
        partSize: PART,
        ...settings,
        s3ClientConfig: {
          bucket,
          endpoint: proxy.url,
          region: 'us-east-1',
          forcePathStyle: true,
          ...(sdkChecksums ? {} : { requestChecksumCalculation: 'WHEN_REQUIRED' as const }),
          credentials: {
            accessKeyId: ground.env['S3_ACCESS_KEY'] ?? '',
            secretAccessKey: ground.env['S3_SECRET_KEY'] ?? '',
          },
        },
      }),
  );

const bareDisk = ({ extensions = [], ...settings }: Settings = {}): Promise<Subject> =>
  openBare(() => {
    const store = new FileStore({ directory: join(disk.database.dir, 'bare'), ...settings });
    store.extensions.push(...extensions);
    return store;
  });

async function openBare(open: () => DataStore & { read?(id: string): unknown }): Promise<Subject> {
  const finished: string[] = [];
  let fail = false;
  let store = open();
  const begin = () =>
    new Server({
      path: '/files',
      datastore: store,
      locker: new MemoryLocker(),
      onUploadFinish: (_request, upload) => {
        if (fail) {
          fail = false;
          return Promise.reject(new Error('the application was away'));
        }
        finished.push(upload.id);
        return Promise.resolve({});
      },
    });
  let tusServer = begin();
  const http = createServer((request, response) => void tusServer.handle(request, response));
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/files`,
    finished,
    failNextFinish: () => void (fail = true),
    stored: async (id) => {
      if (store instanceof FileStore)
        return readFile(join(disk.database.dir, 'bare', id)).catch(() => undefined);
      return Promise.resolve(store.read?.(id))
        .then((stream) => buffer(stream as Readable))
        .catch(() => undefined);
    },
    expire: async () => {
      if (store instanceof FileStore) await ageAll(join(disk.database.dir, 'bare'));
      await tusServer.cleanUpExpiredUploads();
    },
    restart: () => {
      store = open();
      tusServer = begin();
      return Promise.resolve();
    },
    close: async () => {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

async function openMillrace(on: Ground, env: Record<string, string> = {}): Promise<Subject> {
  let fail = false;
  const heard: string[] = [];
  const react = finish((_trx, media) => {
    if (!fail) return Promise.resolve(void heard.push(media.id));
    fail = false;
    return Promise.reject(new Error('the application was away'));
  });
  const engine = await startEngine(on, {
    env: { UPLOAD_PART_SIZE: '5MB', ...(on === ground ? { S3_ENDPOINT: proxy.url } : {}), ...env },
    hooks: { finish: react },
  });
  return {
    url: engine.url,
    finished: heard,
    failNextFinish: () => void (fail = true),
    stored: async (id) =>
      (await engine.digest(id)) === undefined
        ? undefined
        : buffer(await engine.storage.read((await engine.row(id)).key)),
    expire: async () => {
      await engine.db
        .updateTable('upload')
        .set({ expiresAt: 1 })
        .where('expiresAt', 'is not', null)
        .execute();
      await engine.uploads.sweep();
    },
    restart: () => Promise.resolve(), // it remembers nothing
    close: () => engine.close(),
  };
}

/** Declares both tests of a scenario. */
function scenario(
  name: string,
  storage: 's3' | 'disk',
  run: (subject: Subject) => Promise<unknown>,
  outcomes: { bare: unknown; millrace: unknown; settings?: Settings; env?: Record<string, string> },
): void {
  const play = async (opening: Promise<Subject>): Promise<unknown> => {
    const subject = await opening;
    return run(subject).finally(() => subject.close());
  };
  const { settings = {} } = outcomes;
  it(`bare packages: ${name}`, async () => {
    const bare = storage === 's3' ? bareS3(settings) : bareDisk(settings);
    expect(await play(bare)).toEqual(outcomes.bare);
  });
  it(`Millrace: ${name}`, async () => {
    const millrace = openMillrace(storage === 's3' ? ground : disk, outcomes.env);
    expect(await play(millrace)).toEqual(outcomes.millrace);
  });
}

const isSame = (stored: Buffer | undefined, sent: Buffer): boolean =>
  stored !== undefined && sum(stored) === sum(sent);
const sum = (of: Buffer): string => createHash('sha256').update(of).digest('hex');

describe('on S3', () => {
  scenario(
    'a part that fails while later ones are stored',
    's3',
    async (subject) => {
      const even = randomBytes(4 * PART);
      const { url, id } = await createUpload(subject, even.length);
      const isPart = (query: URLSearchParams, number: number) => query.get('partNumber') === String(number);
      const stored = () => proxy.answered.some(({ query }) => isPart(query, 3));
      proxy.rule = async ({ query }) => {
        if (!isPart(query, 2)) return 'pass';
        await eventually(() => Promise.resolve(stored()));
        return 'error';
      };
      expect((await patch(url, 0, even)).status).toBeGreaterThanOrEqual(500);
      proxy.rule = () => 'pass';
      const offset = offsetOf(await tus('HEAD', url));
      const answer = await patch(url, offset, even.subarray(offset));
      return { answer: answer.status, right: isSame(await subject.stored(id), even) };
    },
    { bare: { answer: 204, right: false }, millrace: { answer: 204, right: true } },
  );

  scenario(
    'a tail that can not be stored again',
    's3',
    async (subject) => {
      const { url } = await createUpload(subject, bytes.length);
      await patch(url, 0, bytes.subarray(0, 3 * MiB));
      proxy.rule = ({ method }) => (method === 'PUT' ? 'error' : 'pass');
      await patch(url, 3 * MiB, bytes.subarray(3 * MiB, 4 * MiB));
      proxy.rule = () => 'pass';
      return offsetOf(await tus('HEAD', url));
    },
    { bare: 0, millrace: 3 * MiB },
  );

  scenario(
    'an outage while a client asks for its offset (404 makes it start over)',
    's3',
    async (subject) => {
      const { url } = await createUpload(subject, bytes.length);
      await subject.restart();
      proxy.rule = () => 'error';
      return (await tus('HEAD', url)).status;
    },
    { bare: 404, millrace: 200 },
  );

  scenario(
    'a length that is told later, with a cache that keeps JSON as RedisKvStore does',
    's3',
    async (subject) => {
      const { headers } = await tus('POST', subject.url, { 'Upload-Defer-Length': '1' });
      const url = headers.get('location') ?? '';
      const id = url.split('/').at(-1) ?? '';
      const answer = await patch(url, 0, bytes.subarray(0, 1000), { 'Upload-Length': '1000' });
      const stored = isSame(await subject.stored(id), bytes.subarray(0, 1000));
      return { answer: answer.status, finishes: subject.finished.length, stored };
    },
    {
      bare: { answer: 204, finishes: 1, stored: false },
      millrace: { answer: 204, finishes: 1, stored: true },
      settings: { cache: jsonCache() },
    },
  );

  scenario(
    'a file of no bytes',
    's3',
    async (subject) => {
      const { id } = await createUpload(subject, 0);
      return { finishes: subject.finished.length, stored: (await subject.stored(id)) !== undefined };
    },
    { bare: { finishes: 1, stored: false }, millrace: { finishes: 1, stored: true } },
  );

  scenario(
    'an object that can not be completed at first',
    's3',
    async (subject) => {
      const { url, id } = await createUpload(subject, bytes.length);
      proxy.rule = ({ operation }) => (operation === 'CompleteMultipartUpload' ? 'error' : 'pass');
      await patch(url, 0, bytes);
      const early = (await tus('HEAD', url)).headers.get('upload-offset');
      proxy.rule = () => 'pass';
      const offset = offsetOf(await tus('HEAD', url)); // all that a client does after the PATCH failed
      const stored = isSame(await subject.stored(id), bytes);
      return { early, whole: offset === bytes.length, finishes: subject.finished.length, stored };
    },
    {
      bare: { early: String(bytes.length), whole: true, finishes: 0, stored: false },
      millrace: { early: null, whole: true, finishes: 1, stored: true },
    },
  );

  scenario(
    'an empty PATCH at the end, twice',
    's3',
    async (subject) => {
      const { url } = await createUpload(subject, 1000);
      await patch(url, 0, bytes.subarray(0, 1000));
      const again = [await patch(url, 1000, Buffer.alloc(0)), await patch(url, 1000, Buffer.alloc(0))];
      return { answers: again.map(({ status }) => status), finishes: subject.finished.length };
    },
    { bare: { answers: [500, 500], finishes: 1 }, millrace: { answers: [204, 204], finishes: 1 } },
  );

  scenario(
    "expiry in a bucket with another application's multipart upload",
    's3',
    async (subject) => {
      const Key = `backup-${newId()}.tar`;
      await s3.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }));
      await subject.expire();
      const { Uploads = [] } = await s3.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
      return Uploads.some((upload) => upload.Key === Key);
    },
    { bare: false, millrace: true, settings: { expirationPeriodInMilliseconds: -60_000 } },
  );

  scenario(
    'termination of an unfinished and of a finished upload',
    's3',
    async (subject) => {
      const unfinished = await createUpload(subject, bytes.length);
      await patch(unfinished.url, 0, bytes.subarray(0, MiB));
      const finished = await createUpload(subject, 1000);
      await patch(finished.url, 0, bytes.subarray(0, 1000));
      await subject.restart();
      const answers = [await tus('DELETE', unfinished.url), await tus('DELETE', finished.url)];
      const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: bucket }));
      const left = Contents.some(({ Key = '' }) => Key.includes(unfinished.id));
      return { answers: answers.map(({ status }) => status), left };
    },
    { bare: { answers: [204, 404], left: true }, millrace: { answers: [204, 204], left: false } },
  );

  scenario(
    'an upload of unknown length: the size of its largest part (the bare store makes them of up to 524 MiB)',
    's3',
    async (subject) => {
      const { headers } = await tus('POST', subject.url, { 'Upload-Defer-Length': '1' });
      await patch(headers.get('location') ?? '', 0, bytes);
      const parts = proxy.calls.filter(({ operation }) => operation === 'UploadPart');
      return Math.max(...parts.map(({ headers }) => Number(headers['content-length'])));
    },
    { bare: bytes.length, millrace: 8 * MiB, env: { UPLOAD_PART_SIZE: '8MB' } },
  );

  scenario(
    'what goes over the wire: checksum trailers and tags, which R2 and B2 refuse',
    's3',
    async (subject) => {
      const { url } = await createUpload(subject, bytes.length);
      await patch(url, 0, bytes);
      const has = (name: string) => proxy.calls.some(({ headers }) => headers[name] !== undefined);
      const checksums =
        has('x-amz-trailer') || has('x-amz-sdk-checksum-algorithm') || has('x-amz-checksum-crc32');
      return { checksums, tags: has('x-amz-tagging') };
    },
    {
      bare: { checksums: true, tags: true },
      millrace: { checksums: false, tags: false },
      settings: { sdkChecksums: true, expirationPeriodInMilliseconds: 60_000 },
    },
  );

  scenario(
    'parts of one size, as R2 wants them, from PATCHes of another',
    's3',
    async (subject) => {
      const { url } = await createUpload(subject, bytes.length);
      for (let from = 0; from < bytes.length; from += 6 * MiB)
        await patch(url, from, bytes.subarray(from, from + 6 * MiB));
      const parts = proxy.calls.filter(({ operation }) => operation === 'UploadPart');
      const size = (number: number) =>
        parts.find(({ query }) => query.get('partNumber') === String(number))?.headers['content-length'];
      return [size(1), size(2)];
    },
    {
      bare: [String(6 * MiB), String(6 * MiB)],
      millrace: [String(8 * MiB), String(8 * MiB)],
      settings: { partSize: 8 * MiB },
      env: { UPLOAD_PART_SIZE: '8MB' },
    },
  );
});

describe('on disk', () => {
  scenario(
    'an application that was away when an upload finished',
    'disk',
    async (subject) => {
      const { url } = await createUpload(subject, 1000);
      subject.failNextFinish();
      const answer = await patch(url, 0, bytes.subarray(0, 1000));
      const whole = offsetOf(await tus('HEAD', url)) === 1000; // what a client does, which then is content
      return { refused: answer.status >= 500, whole, finishes: subject.finished.length };
    },
    {
      bare: { refused: true, whole: true, finishes: 0 },
      millrace: { refused: true, whole: true, finishes: 1 },
    },
  );

  scenario(
    'an empty PATCH at the end, twice',
    'disk',
    async (subject) => {
      const { url } = await createUpload(subject, 1000);
      await patch(url, 0, bytes.subarray(0, 1000));
      const again = [await patch(url, 1000, Buffer.alloc(0)), await patch(url, 1000, Buffer.alloc(0))];
      return { answers: again.map(({ status }) => status), finishes: subject.finished.length };
    },
    { bare: { answers: [204, 204], finishes: 3 }, millrace: { answers: [204, 204], finishes: 1 } },
  );

  scenario(
    'expiry of what was finished long ago',
    'disk',
    async (subject) => {
      const { url, id } = await createUpload(subject, 1000);
      await patch(url, 0, bytes.subarray(0, 1000));
      const before = isSame(await subject.stored(id), bytes.subarray(0, 1000));
      await subject.expire();
      return [before, isSame(await subject.stored(id), bytes.subarray(0, 1000))];
    },
    { bare: [true, false], millrace: [true, true], settings: { expirationPeriodInMilliseconds: 60_000 } },
  );

  /** What the creation of a partial upload and of a final one is answered. */
  const concatenate = async (subject: Subject): Promise<number[]> => {
    const partial = await tus('POST', subject.url, { 'Upload-Concat': 'partial', 'Upload-Length': '0' });
    const url = partial.headers.get('location') ?? '';
    return [partial.status, (await tus('POST', subject.url, { 'Upload-Concat': `final;${url}` })).status];
  };
  // PostHandler asks the store for the extension “concatentation”.
  scenario('concatenation by a store that can do it', 'disk', concatenate, {
    bare: [501, 501],
    millrace: [201, 201],
    settings: { extensions: ['concatenation'] },
  });
  scenario('a final upload by a store that spells it so too: it has to have a length', 'disk', concatenate, {
    bare: [201, 400],
    millrace: [201, 201],
    settings: { extensions: ['concatenation', 'concatentation'] },
  });

  scenario(
    'X-HTTP-Method-Override',
    'disk',
    async (subject) => {
      const { url } = await createUpload(subject, 1000);
      const override = { 'X-HTTP-Method-Override': 'PATCH', 'Upload-Offset': '0' };
      const { status } = await tus('POST', url, override, bytes.subarray(0, 1000));
      return status === 204 && subject.finished.length === 1;
    },
    { bare: false, millrace: true },
  );
});

describe('while an upload is locked', () => {
  it('bare packages: MemoryLocker looks at the lock in every turn of the event loop', async () => {
    const locker = new MemoryLocker();
    let looks = 0;
    const get = locker.locks.get.bind(locker.locks);
    locker.locks.get = (id) => (looks++, get(id));
    const signal = new AbortController();
    await locker.newLock('upload').lock(signal.signal, () => undefined);
    const second = locker.newLock('upload').lock(signal.signal, () => undefined);
    await eventually(() => Promise.resolve(looks > 1_000));
    await locker.newLock('upload').unlock();
    await second;
  });

  it('Millrace: waiting costs a few statements a second', async () => {
    let statements = 0;
    const counting = disk.database.db.withPlugin({
      transformQuery: ({ node }) => (statements++, node),
      transformResult: ({ result }) => Promise.resolve(result),
    });
    const logger = pino({ level: 'silent' });
    const holder = new Leases(disk.database.db, logger);
    const waiting = new Leases(counting, logger, { waitMs: 1_000, pollMs: 250 });
    const id = newId();
    await transact(disk.database.db, (trx) =>
      insertUpload(trx, {
        ...{ id, mediaId: null, owner: 'alice', kind: 'single', length: 100, key: 'k' },
        ...{ metadata: null, idempotencyKey: null, expiresAt: null },
      }),
    );
    const lease = await holder.acquire(id);
    await expect(waiting.acquire(id)).rejects.toMatchObject({ status: 423 });
    expect(statements).toBeLessThanOrEqual(2 * (1_000 / 250 + 2));
    expect(statements).toBeGreaterThan(0);
    await lease.release();
    await holder.close();
    await waiting.close();
  });
});

/** Makes every upload of a FileStore an old one. */
async function ageAll(folder: string): Promise<void> {
  for (const name of (await readdir(folder)).filter((file) => file.endsWith('.json'))) {
    const upload = JSON.parse(await readFile(join(folder, name), 'utf8')) as object;
    const aged = { ...upload, creation_date: new Date(0).toISOString() };
    await writeFile(join(folder, name), JSON.stringify(aged));
  }
}

/** As RedisKvStore: what comes out is a copy. */
function jsonCache(): NonNullable<Settings['cache']> {
  const values = new Map<string, string>();
  return {
    get: (key: string) => Promise.resolve(JSON.parse(values.get(key) ?? 'null')),
    set: (key: string, value: unknown) => Promise.resolve(void values.set(key, JSON.stringify(value))),
    delete: (key: string) => Promise.resolve(void values.delete(key)),
  };
}
