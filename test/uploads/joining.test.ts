/** Uploads that take long to put together or to check: what clients are told meanwhile, and what kills and rivals leave of them. */
import { randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { Upload } from 'tus-js-client';
import { S3Storage } from '../../server/storage/s3.ts';
import { Multipart } from '../../server/uploads/s3/multipart.ts';
import { eventually } from '../server.ts';
import { startCuttingProxy } from './cutting-proxy.ts';
import { startFaultProxy, type FaultProxy } from './fault-proxy.ts';
import {
  idOf,
  createUpload,
  finishesOf,
  offsetOf,
  openGround,
  patch,
  sha256,
  startEngine,
  tus,
} from './harness.ts';
import type { Engine, Ground, StorageName } from './harness.ts';
import { startKillable, type KillableEngine } from './killable.ts';
import { seededRandom } from './random.ts';

const MiB = 1024 * 1024;
const bytes = randomBytes(27 * MiB + 77);
const CUTS = [9 * MiB, 10 * MiB + 3];

/** Partial uploads of all bytes, made and sent at these servers in turns. Returns the Upload-Concat of their final. */
async function sendPartials(...urls: string[]): Promise<string> {
  const ids = await Promise.all(
    [...CUTS, bytes.length].map(async (end, index) => {
      const body = bytes.subarray(CUTS[index - 1] ?? 0, end);
      const at = (turn: number): string => urls[turn % urls.length] ?? '';
      const { id } = await createUpload({ url: at(index) }, body.length, { 'Upload-Concat': 'partial' });
      expect((await patch(`${at(index + 1)}/${id}`, 0, body)).status).toBe(204);
      return id;
    }),
  );
  return `final;${ids.map((id) => `/files/${id}`).join(' ')}`;
}

const post = (url: string, concat: string) => tus('POST', url, { 'Upload-Concat': concat });

describe('on S3, where copying takes as long as we want', () => {
  let ground: Ground;
  let proxy: FaultProxy;
  let engine: Engine;
  /** Copies of parts wait here. */
  let gate: Promise<void>;
  let open: () => void;
  let copies: number;

  beforeAll(async () => {
    ground = await openGround('sqlite', 's3');
    proxy = await startFaultProxy(ground.env['S3_ENDPOINT'] ?? '');
    engine = await startEngine(ground, { env: { S3_ENDPOINT: proxy.url }, uploads: { joinWaitMs: 20 } });
  });
  afterAll(async () => {
    open?.();
    await engine?.close();
    await proxy?.close();
    await ground?.close();
  });

  /** Lets so many copies pass, and holds those that follow. */
  function hold(after: number): void {
    copies = 0;
    gate = new Promise((resolve) => (open = resolve));
    proxy.rule = async ({ headers }) => {
      if (headers['x-amz-copy-source'] !== undefined && ++copies > after) await gate;
      return 'pass' as const;
    };
  }

  it('answers without an offset until it is done, whoever asks', async () => {
    const concat = await sendPartials(engine.url);
    hold(0);
    const created = await post(engine.url, concat);
    const url = created.headers.get('location') ?? '';
    expect([created.status, created.headers.get('upload-offset')]).toEqual([201, null]);
    const head = await tus('HEAD', url);
    expect([head.status, head.headers.get('upload-offset')]).toEqual([200, null]);
    expect(head.headers.get('upload-length')).toBe(String(bytes.length));
    const again = await post(engine.url, concat);
    expect([again.status, again.headers.get('location'), again.headers.get('upload-offset')]).toEqual([
      ...[201, url, null],
    ]);
    expect((await tus('HEAD', url, { 'Tus-Resumable': undefined })).status).toBe(503);
    expect((await engine.media(idOf(url))).status).toBe('uploading');
    open();
    await eventually(async () => offsetOf(await tus('HEAD', url)) === bytes.length);
    expect(await engine.digest(idOf(url))).toBe(sha256(bytes));
    expect(await finishesOf(ground.database, idOf(url))).toBe(1);
  });

  it.each(['tus', 'the draft'])(
    'of an upload that is read back for its digest tells with 423 that it goes on, in %s',
    async (protocol) => {
      const draft = {
        'Tus-Resumable': undefined,
        'Content-Type': 'application/partial-upload',
        'Upload-Complete': '?1',
      };
      const body = bytes.subarray(0, 9 * MiB);
      const { url, id } = await createUpload(engine, body.length, { 'Want-Repr-Digest': 'sha-256=1' });
      gate = new Promise((resolve) => (open = resolve));
      proxy.rule = async ({ operation }) => {
        if (operation === 'GetObject') await gate;
        return 'pass' as const;
      };
      const wish = { 'Upload-Offset': '0', ...(protocol === 'tus' ? {} : draft) };
      const last = await tus('PATCH', url, wish, body);
      expect([last.status, last.code]).toEqual([protocol === 'tus' ? 423 : 503, 'assembling']);
      const head = await tus('HEAD', url);
      expect([head.status, head.headers.get('upload-offset')]).toEqual([423, null]);
      expect(Number(head.headers.get('retry-after'))).toBeGreaterThan(0);
      expect((await engine.media(id)).status).toBe('uploading');
      open();
      const told = await eventually(async () => {
        const answer = await tus('HEAD', url);
        return answer.status === 200 && answer;
      });
      expect(offsetOf(told)).toBe(body.length);
      expect(told.headers.get('repr-digest')).toMatch(/^sha-256=/);
      expect((await patch(url, body.length, '')).status).toBe(204); // a client that heard nothing asks once more
      expect(await finishesOf(ground.database, id)).toBe(1);
    },
  );

  it.each([
    ['is joined once more while its partials are there', false],
    ['is lost when a partial is gone as well', true],
  ])('whose multipart upload is aborted before its end, %s', async (_what, alsoPartial) => {
    const concat = await sendPartials(engine.url);
    const [, second] = concat.slice('final;'.length).split(' ');
    let aborted = '';
    proxy.rule = async ({ operation, key, query }) => {
      if (operation !== 'CompleteMultipartUpload' || !key.startsWith('media/') || aborted)
        return 'pass' as const;
      aborted = key;
      if (!(engine.storage instanceof S3Storage)) throw new Error('no S3');
      await new Multipart(engine.storage).abort(key, query.get('uploadId') ?? '');
      if (alsoPartial) await engine.storage.delete(`partials/${idOf(second)}`);
      return 'pass' as const;
    };
    const url = (await post(engine.url, concat)).headers.get('location') ?? '';
    const id = idOf(url);
    const end = await eventually(async () => {
      const answer = await tus('HEAD', url);
      return (answer.status !== 200 || offsetOf(answer) === bytes.length) && answer;
    });
    expect(end.status).toBe(alsoPartial ? 410 : 200);
    expect(aborted).toContain(id);
    expect(await engine.digest(id)).toBe(alsoPartial ? undefined : sha256(bytes));
    expect(await engine.media(id)).toMatchObject(
      alsoPartial ? { status: 'failed', errorCode: 'upload_lost' } : { status: 'processing' },
    );
    expect(await finishesOf(ground.database, id)).toBe(alsoPartial ? 0 : 1);
  });

  it('is put together by who comes next when its server is killed while it copies', async () => {
    const child = await startKillable(ground, { S3_ENDPOINT: proxy.url });
    try {
      const concat = await sendPartials(child.url);
      hold(1);
      const lost = post(child.url, concat).catch((error: unknown) => error);
      await eventually(() => Promise.resolve(copies > 1));
      await child.crash();
      expect(await lost).toHaveProperty('message');
      open();
      await expectWhole(ground, engine, child, concat);
    } finally {
      await child.close();
    }
  });
});

it('on disk, is put together by who comes next when its server is killed while it copies', async () => {
  const ground = await openGround();
  const engine = await startEngine(ground);
  const child = await startKillable(ground);
  try {
    const concat = await sendPartials(child.url);
    const lost = post(child.url, concat).catch((error: unknown) => error);
    const final = await eventually(async () => {
      const row = await ground.database.db
        .selectFrom('upload')
        .select('id')
        .where('kind', '=', 'final')
        .executeTakeFirst();
      return row?.id;
    });
    // From the moment that the first partial's file is the final's, until the last byte, it copies.
    const file = join(ground.env['DATA_DIR'] ?? '', 'incoming', final);
    for (let tries = 0; tries < 2000; tries++) {
      if (await stat(file).catch(() => undefined)) break;
      await setImmediate();
    }
    await child.crash();
    await lost;
    await expectWhole(ground, engine, child, concat);
  } finally {
    await child.close();
    await engine.close();
    await ground.close();
  }
});

async function expectWhole(ground: Ground, engine: Engine, { url }: KillableEngine, concat: string) {
  const again = await post(url, concat);
  expect(again.status).toBe(201);
  const final = `${url}/${idOf(again.headers.get('location'))}`;
  await eventually(async () => offsetOf(await tus('HEAD', final)) === bytes.length);
  expect(await engine.digest(idOf(final))).toBe(sha256(bytes));
  expect(await finishesOf(ground.database, idOf(final))).toBe(1);
}

it.each<StorageName>(['disk', 's3'])(
  'two servers on PostgreSQL put it together once, on %s',
  async (storage) => {
    const ground = await openGround('postgres', storage);
    const [one, two] = [
      await startEngine(ground, { ownConnection: true }),
      await startEngine(ground, { ownConnection: true }),
    ];
    try {
      const concat = await sendPartials(one.url, two.url);
      const answers = await Promise.all([one, two, one, two].map(({ url }) => post(url, concat)));
      expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201]);
      const ids = new Set(answers.map(({ headers }) => idOf(headers.get('location'))));
      expect(ids.size).toBe(1);
      const [id = ''] = ids;
      await eventually(async () => offsetOf(await tus('HEAD', `${two.url}/${id}`)) === bytes.length);
      expect(await one.digest(id)).toBe(sha256(bytes));
      expect(await finishesOf(ground.database, id)).toBe(1);
    } finally {
      await one.close();
      await two.close();
      await ground.close();
    }
  },
  120_000,
);

it('takes parallel uploads of tus-js-client over connections that break', async () => {
  const ground = await openGround();
  const servers = [await startEngine(ground), await startEngine(ground)];
  const random = seededRandom('parallel uploads');
  const target = (): number => servers[random.between(0, 1)]?.port ?? 0;
  const proxy = await startCuttingProxy(target, random, { min: 100_000, max: 5 * MiB });
  try {
    const url = await new Promise<string>((resolve, reject) => {
      let tries = 0;
      const upload: Upload = new Upload(bytes, {
        endpoint: `http://127.0.0.1:${proxy.port}/files`,
        headers: { authorization: 'Bearer alice' },
        parallelUploads: 4,
        retryDelays: Array.from({ length: 200 }, () => 5),
        // It repeats everything but the final's creation by itself; the app's “try again” does that.
        onError: (error) => (tries++ < 20 ? upload.start() : reject(error)),
        onSuccess: () => resolve(upload.url ?? ''),
      });
      upload.start();
    });
    expect(proxy.cuts()).toBeGreaterThan(2);
    const final = `${servers[0]?.url}/${idOf(url)}`;
    await eventually(async () => offsetOf(await tus('HEAD', final)) === bytes.length);
    expect(await servers[0]?.digest(idOf(url))).toBe(sha256(bytes));
    expect(await finishesOf(ground.database, idOf(url))).toBe(1);
  } finally {
    await proxy.close();
    for (const server of servers) await server.close();
    await ground.close();
  }
});
