/** The end of an upload: one object, one finish, and HEAD tells of it no sooner, whatever happens in which moment. */
import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { finish } from '../../server/hooks/finish.ts';
import { eventually } from '../server.ts';
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
  STORAGES,
  tus,
} from './harness.ts';
import type { Answer, Engine, Ground, StorageName } from './harness.ts';
import { startHoldingProxy, type Held, type HoldingProxy } from './holding-proxy.ts';
import { startKillable, type KillableEngine } from './killable.ts';
import { startPatch } from './requests.ts';

const MiB = 1024 * 1024;
const bytes = randomBytes(9 * MiB + 77);
/** Nobody waits long for a server that is held, or dead. */
const IMPATIENT = { joinWaitMs: 50, waitMs: 500 };
const isWhole = (answer: Answer, length = bytes.length): boolean =>
  answer.status === 200 && offsetOf(answer) === length;

/** Asks as clients do until the upload is whole, then as those do who did not hear it. */
async function expectOneFinish(engine: Engine, url: string, length = bytes.length): Promise<void> {
  const id = idOf(url);
  await eventually(async () => isWhole(await tus('HEAD', url), length));
  for (let again = 0; again < 2; again++)
    expect((await patch(url, length, Buffer.alloc(0))).status).toBe(204);
  expect(isWhole(await tus('HEAD', url), length)).toBe(true);
  await engine.uploads.sweep();
  expect(await engine.digest(id)).toBe(sha256(bytes.subarray(0, length)));
  expect(await finishesOf(engine, id)).toBe(1);
  expect((await engine.row(id)).state).toBe('complete');
}

describe.each(STORAGES)('two servers on PostgreSQL and %s, one of which is killed', (storage) => {
  let ground: Ground;
  let proxy: HoldingProxy;
  let child: KillableEngine;
  let other: Engine;

  beforeAll(async () => {
    ground = await openGround('postgres', storage);
    proxy = await startHoldingProxy(ground.database.url ?? '');
    const through = { ...ground, database: { ...ground.database, url: proxy.url } };
    [child, other] = await Promise.all([
      startKillable(through),
      startEngine(ground, { ownConnection: true, uploads: IMPATIENT }),
    ]);
  });
  afterAll(async () => {
    await child?.close();
    await other?.close();
    await proxy?.close();
    await ground?.close();
  });

  const moments: [string, string, Held][] = [
    ['once the last byte is in the ledger', 'assembling', 'commit'],
    ['before the object is put in its place', 'assembling', 'answer'],
    ['once the object is in its place', 'complete', 'commit'],
    ['between the last commit and the response', 'complete', 'answer'],
  ];
  // Who goes on takes turns, the other way round on the other storage.
  const who = (turn: number) => ((turn % 2 === 0) === (storage === 'disk') ? 'it' : 'the other');
  it.each(moments.map((moment, turn) => [...moment, who(turn)] as const))(
    '%s (%s, %s): %s goes on',
    async (_moment, state, at, heir) => {
      const { id } = await createUpload(child, bytes.length);
      const held = proxy.hold(state, at);
      const lost = patch(`${child.url}/${id}`, 0, bytes).catch((error: unknown) => error);
      await held;
      const there = (await other.storage.stat(`media/${id}/source`)) !== undefined;
      expect(isWhole(await tus('HEAD', `${other.url}/${id}`))).toBe(state === 'complete' && at === 'answer');
      expect(there).toBe(state === 'complete');
      await child.kill();
      expect(await lost).toHaveProperty('message'); // the client heard nothing
      if (heir === 'it') await child.start();
      await expectOneFinish(other, `${heir === 'it' ? child.url : other.url}/${id}`);
      if (heir !== 'it') await child.start();
    },
    120_000,
  );
});

describe('one server on SQLite', () => {
  it('and disk, killed when the last byte is in the ledger and the object can not be put in its place', async () => {
    const ground = await openGround();
    const child = await startKillable(ground);
    const observer = await startEngine(ground, { uploads: IMPATIENT });
    const { id } = await createUpload(child, bytes.length);
    const url = `${child.url}/${id}`;
    const obstacle = join(ground.database.dir, 'media', id); // a file where a folder has to be
    await patch(url, 0, bytes.subarray(0, MiB));
    await observer.storage.put('media/x/y', Buffer.from('x')); // makes the folder
    await writeFile(obstacle, '');
    expect((await patch(url, MiB, bytes.subarray(MiB))).status).toBe(503);
    expect(isWhole(await tus('HEAD', url))).toBe(false);
    await child.crash();
    expect(isWhole(await tus('HEAD', url))).toBe(false);
    await rm(obstacle);
    await expectOneFinish(observer, url);
    await observer.close();
    await child.close();
    await ground.close();
  });
});

describe('one server on SQLite and s3', () => {
  let ground: Ground;
  let proxy: FaultProxy;
  let child: KillableEngine;
  let observer: Engine;

  beforeAll(async () => {
    ground = await openGround('sqlite', 's3');
    proxy = await startFaultProxy(ground.env['S3_ENDPOINT'] ?? '');
    child = await startKillable(ground, { S3_ENDPOINT: proxy.url });
    observer = await startEngine(ground, { uploads: IMPATIENT });
  });
  afterAll(async () => {
    await observer?.close();
    await child?.close();
    await proxy?.close();
    await ground?.close();
  });

  /** Lets nothing of this operation through until the rule is taken away; resolves at the first. */
  const hold = (operation: string): Promise<void> =>
    new Promise((resolve) => {
      proxy.rule = (call) => {
        if (call.operation !== operation) return 'pass';
        resolve();
        return new Promise(() => undefined);
      };
    });

  async function expectFinishAfterKill(url: string, lost: Promise<unknown>, length?: number): Promise<void> {
    const elsewhere = `${observer.url}/${url.split('/').at(-1)}`;
    expect(isWhole(await tus('HEAD', elsewhere), length)).toBe(false);
    proxy.rule = () => 'pass';
    await child.crash();
    expect(await lost).toHaveProperty('message');
    await expectOneFinish(observer, url, length);
  }

  it.each(['CompleteMultipartUpload', 'HeadObject'])(
    'is killed while it waits for %s',
    async (operation) => {
      const { url } = await createUpload(child, bytes.length);
      const held = hold(operation);
      const lost = patch(url, 0, bytes).catch((error: unknown) => error);
      await held;
      await expectFinishAfterKill(url, lost);
    },
    120_000,
  );

  it.each([
    ['UploadPart', 9 * MiB],
    ['PutObject', MiB],
  ])(
    'is killed when a length was told after the last byte, before the tail is a whole (%s)',
    async (operation, first) => {
      const created = await tus('POST', child.url, { 'Upload-Defer-Length': '1' });
      const url = created.headers.get('location') ?? '';
      const end = first === MiB ? 2 * MiB : bytes.length;
      for (const [from, to] of [
        [0, first],
        [first, end],
      ] as const)
        expect((await patch(url, from, bytes.subarray(from, to))).status).toBe(204);
      const held = hold(operation);
      const told = patch(url, end, Buffer.alloc(0), { 'Upload-Length': String(end) });
      const lost = told.catch((error: unknown) => error);
      await held;
      const { length, state } = await observer.row(idOf(url));
      expect([length, state]).toEqual([end, 'receiving']);
      await expectFinishAfterKill(url, lost, end);
    },
    120_000,
  );
});

describe.each(STORAGES)('on %s', (storage: StorageName) => {
  let ground: Ground;
  let one: Engine;
  let two: Engine;
  /** Finishes that fail before one succeeds. */
  let failures = 0;

  beforeAll(async () => {
    ground = await openGround('postgres', storage);
    const failing = finish(() =>
      failures-- > 0 ? Promise.reject(new Error('the application was away')) : Promise.resolve(),
    );
    const options = { ownConnection: true, hooks: { finish: failing } };
    [one, two] = await Promise.all([startEngine(ground, options), startEngine(ground, options)]);
  });
  afterAll(async () => {
    await one?.close();
    await two?.close();
    await ground?.close();
  });

  it('a hook that fails leaves the upload unfinished, until one succeeds', async () => {
    const { url, id } = await createUpload(one, bytes.length);
    failures = 3;
    expect((await patch(url, 0, bytes)).status).toBe(503);
    expect((await one.media(id)).status).toBe('uploading');
    for (const at of [url, `${two.url}/${id}`]) expect(isWhole(await tus('HEAD', at))).toBe(false);
    expect(failures).toBe(0);
    await expectOneFinish(two, `${two.url}/${id}`);
  });

  it('a response that is lost is no reason to finish again', async () => {
    const { url, id } = await createUpload(one, bytes.length);
    const socket = await startPatch(one.port, id, 0, bytes.length, bytes);
    await eventually(async () => (await one.row(id)).offset === bytes.length);
    socket.destroy();
    expect((await patch(url, 0, bytes)).status).toBe(409);
    await expectOneFinish(two, `${two.url}/${id}`);
  });

  it('empty requests at the end, at once and at both servers, finish once', async () => {
    const { url, id } = await createUpload(one, bytes.length);
    failures = 1; // so that all of them find it unfinished
    expect((await patch(url, 0, bytes)).status).toBe(503);
    const at = (turn: number): string => (turn % 2 ? url : `${two.url}/${id}`);
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, turn) =>
        turn % 4 < 2 ? tus('HEAD', at(turn)) : patch(at(turn), bytes.length, Buffer.alloc(0)),
      ),
    );
    for (const { status } of answers) expect([200, 204, 423]).toContain(status);
    await expectOneFinish(one, url);
  });
});
