/** Clients so slow that a part takes long: what came of it is committed meanwhile, in the tail. */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { openPrefix } from '../../server/uploads/index.ts';
import { piecesOf } from '../../server/uploads/s3/tail.ts';
import { eventually } from '../server.ts';
import type { Fault } from './fault-proxy.ts';
import { useFaultyS3 } from './faulty-s3.ts';
import { createUpload, offsetOf, patch, sha256, startEngine, tus, type Engine } from './harness.ts';
import { startPatch } from './requests.ts';

const MiB = 1024 * 1024;
const PART = 8 * MiB;
const bytes = randomBytes(2 * PART + 3 * MiB + 99);

const stage = useFaultyS3();
let followed: Engine;
beforeAll(async () => {
  const hooks = { mayFollow: () => true, isFollowed: () => Promise.resolve(true) };
  followed = await startEngine(stage.ground, { env: { S3_ENDPOINT: stage.proxy.url }, hooks });
});
afterAll(() => followed?.close());

/** Sends more of a body that `startPatch` began. */
const send = (socket: Socket, from: number, to: number): Promise<unknown> =>
  new Promise((resolve) => socket.write(bytes.subarray(from, to), resolve));

/** Waits until the ledger knows so much. */
const committed = (engine: Engine, id: string, offset: number): Promise<boolean> =>
  eventually(async () => (await engine.row(id)).offset === offset, 30_000);

it('shows readers what came of a part a second ago, and the same bytes when the part is stored', async () => {
  const { id } = await createUpload(followed, bytes.length);
  const seen: Buffer[] = [];
  const size = (): number => seen.reduce((sum, { length }) => sum + length, 0);
  const reading = (async () => {
    const signal = new AbortController().signal;
    for await (const chunk of openPrefix(followed, id, { signal, pollMs: 10, idleMs: 60_000 }))
      seen.push(Buffer.from(chunk));
  })();
  const socket = await startPatch(followed.port, id, 0, bytes.length, bytes.subarray(0, MiB));
  let from = MiB;
  for (const to of [2 * MiB, 3 * MiB, PART + MiB, PART + 2 * MiB]) {
    await eventually(() => Promise.resolve(size() === from), 30_000);
    await send(socket, from, to);
    from = to;
  }
  await eventually(() => Promise.resolve(size() === from), 30_000);
  expect(piecesOf(await followed.row(id)).length).toBeGreaterThan(0);
  await send(socket, from, bytes.length);
  await reading;
  expect(sha256(Buffer.concat(seen))).toBe(sha256(bytes));
  expect(await followed.digest(id)).toBe(sha256(bytes));
  const left = [];
  for await (const { key } of followed.storage.list(`incoming/${id}/`)) left.push(key);
  expect(left).toEqual([]);
  socket.destroy();
}, 120_000);

it('goes on behind what was committed of a part when the client comes again, as often as it does', async () => {
  const { url, id } = await createUpload(followed, bytes.length);
  let from = 0;
  for (const pieces of [3, 12, 1]) {
    const socket = await startPatch(followed.port, id, from, bytes.length, Buffer.alloc(0));
    for (let piece = 0; piece < pieces; piece++) {
      const to = from + 200_000;
      await send(socket, from, to);
      await committed(followed, id, to);
      from = to;
    }
    await send(socket, from, from + 1_000);
    socket.destroy();
    await eventually(async () => (await followed.row(id)).offset > from);
    from = (await followed.row(id)).offset;
  }
  // Those of the earlier requests are joined as those of any request are.
  expect(piecesOf(await followed.row(id)).length).toBeLessThan(8);
  expect((await patch(url, from, bytes.subarray(from))).status).toBe(204);
  expect(await followed.digest(id)).toBe(sha256(bytes));
}, 120_000);

it('commits after a while what nobody reads along', async () => {
  const { url, id } = await createUpload(stage.engine, bytes.length);
  const socket = await startPatch(stage.engine.port, id, 0, bytes.length, bytes.subarray(0, 2 * MiB));
  await sleep(3_000);
  expect((await stage.engine.row(id)).offset).toBe(0);
  await committed(stage.engine, id, 2 * MiB);
  await send(socket, 2 * MiB, 3 * MiB);
  const offset = offsetOf(await tus('HEAD', url));
  expect((await patch(url, offset, bytes.subarray(offset))).status).toBe(204);
  expect(await stage.engine.digest(id)).toBe(sha256(bytes));
  socket.destroy();
}, 60_000);

it('commits nothing early of a body whose digest may be wrong', async () => {
  const { id } = await createUpload(followed, bytes.length);
  const headers = { 'Upload-Checksum': `sha1 ${Buffer.alloc(20).toString('base64')}` };
  const socket = await startPatch(followed.port, id, 0, PART, bytes.subarray(0, 2 * MiB), headers);
  await sleep(3_000);
  expect((await followed.row(id)).offset).toBe(0);
  socket.destroy();
});

it.each<Fault>(['error', 'reset', 'lost', 'stall', 'expired'])(
  'loses nothing when a piece can not be stored: %s',
  async (kind) => {
    const { id } = await createUpload(followed, bytes.length);
    let faults = 0;
    stage.proxy.rule = ({ operation }) => (operation === 'PutObject' && faults++ < 6 ? kind : 'pass');
    const socket = await startPatch(followed.port, id, 0, bytes.length, bytes.subarray(0, MiB));
    await eventually(() => Promise.resolve(faults > 0));
    for (let from = MiB; from < bytes.length; from += 2 * MiB) {
      await send(socket, from, Math.min(from + 2 * MiB, bytes.length));
      await sleep(300);
    }
    await eventually(async () => (await followed.row(id)).state === 'complete');
    expect(await followed.digest(id)).toBe(sha256(bytes));
    socket.destroy();
  },
  60_000,
);

it('commits in parts alone what comes quickly', async () => {
  const large = Buffer.alloc(150 * MiB, 'much');
  const { url, id } = await createUpload(followed, large.length);
  expect((await patch(url, 0, large)).status).toBe(204);
  expect(await followed.digest(id)).toBe(sha256(large));
  expect(
    stage.proxy.calls.filter(({ key }) => /incoming\/[^/]+\/\d+-\d+-\d+$/.test(key)).length,
  ).toBeLessThan(5);
}, 60_000);
