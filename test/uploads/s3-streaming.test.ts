/**
 * Parts that are sent to S3 while their last bytes still arrive. Each client here keeps back the end of its body, so that
 * what happens to S3's call can be seen before the part is full. (Rates and times: server/uploads/s3/part-stream.test.ts.)
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Multipart } from '../../server/uploads/s3/multipart.ts';
import { partCopy } from '../../server/uploads/s3/part-copies.ts';
import type { S3Storage } from '../../server/storage/s3.ts';
import { buffer } from 'node:stream/consumers';
import { eventually } from '../server.ts';
import type { Fault, S3Call } from './fault-proxy.ts';
import { useFaultyS3 } from './faulty-s3.ts';
import { createUpload, offsetOf, patch, sha256, startEngine, tus } from './harness.ts';
import { startPatch } from './requests.ts';

const MiB = 1024 * 1024;
const PART = 8 * MiB;
/** So few are kept back that even the busiest machine expects them soon. */
const KEPT = 64 * 1024;
const bytes = randomBytes(2 * PART + 3 * MiB + 99);

const stage = useFaultyS3();

const parts = (calls: S3Call[]): S3Call[] => calls.filter(({ operation }) => operation === 'UploadPart');

/** Sends a PATCH but for its last bytes. */
const hold = (id: string, from: number, to: number, port = stage.engine.port): Promise<Socket> =>
  startPatch(port, id, from, to, bytes.subarray(from, to - KEPT));

/** Sends the rest of it; resolves with the status of the answer. */
async function finish(socket: Socket, to: number): Promise<number> {
  const answer = once(socket, 'data') as Promise<[Buffer]>;
  socket.write(bytes.subarray(to - KEPT, to));
  const [head] = await answer;
  socket.destroy();
  return Number(head.toString().split(' ')[1]);
}

const begun = (): Promise<S3Call | undefined> =>
  eventually(() => Promise.resolve(parts(stage.proxy.calls)[0]));

/** A PATCH of which a part is on its way to S3 before its last bytes are sent. Resolves with the status of the answer. */
async function patchStreamed(id: string, from: number, to: number, port?: number): Promise<number> {
  stage.proxy.calls = [];
  const socket = await hold(id, from, to, port);
  expect((await begun())?.headers['x-amz-content-sha256']).toBe('UNSIGNED-PAYLOAD');
  return finish(socket, to);
}

it('stores whole parts, those that begin with a tail and the last one bit for bit', async () => {
  const { url, id } = await createUpload(stage.engine, bytes.length);
  expect((await patch(url, 0, bytes.subarray(0, MiB))).status).toBe(204);
  const sizes = [];
  for (const [from, to] of [
    [MiB, PART],
    [PART, 2 * PART],
    [2 * PART, bytes.length],
  ] as const) {
    expect(await patchStreamed(id, from, to)).toBe(204);
    const calls = parts(stage.proxy.calls);
    sizes.push(Number(calls[0]?.headers['content-length']));
    // Once, but for attempts that a busy machine gave up.
    expect(calls.length - parts(stage.proxy.broken).length).toBe(1);
    stage.proxy.broken = [];
  }
  expect(sizes).toEqual([PART, PART, bytes.length - 2 * PART]);
  expect(await stage.engine.digest(id)).toBe(sha256(bytes));
});

it.each<Fault>(['error', 'rash', 'reset', 'lost', 'broken', 'stall'])(
  'stores a part from memory when its call meets a fault: %s',
  async (kind) => {
    const { url, id } = await createUpload(stage.engine, bytes.length);
    let faults = 0;
    stage.proxy.rule = ({ operation }) => (operation === 'UploadPart' && faults++ === 0 ? kind : 'pass');
    expect(await patchStreamed(id, 0, PART)).toBe(204);
    expect(parts(stage.proxy.calls).length).toBeGreaterThan(1);
    expect((await patch(url, PART, bytes.subarray(PART))).status).toBe(204);
    expect(await stage.engine.digest(id)).toBe(sha256(bytes));
  },
);

it('gives the call up when its client stalls, and stores the part when it goes on', async () => {
  const { url, id } = await createUpload(stage.engine, bytes.length);
  const socket = await hold(id, 0, PART);
  await eventually(() => Promise.resolve(parts(stage.proxy.broken)[0]));
  expect(await finish(socket, PART)).toBe(204);
  expect(parts(stage.proxy.calls)).toHaveLength(2);
  expect((await patch(url, PART, bytes.subarray(PART))).status).toBe(204);
  expect(await stage.engine.digest(id)).toBe(sha256(bytes));
});

it.each(['is cut', 'gives way to another one'])(
  'keeps what arrived of a request that %s, and S3 stores no part of it',
  async (how) => {
    const { url, id } = await createUpload(stage.engine, bytes.length);
    const socket = await hold(id, 0, PART);
    await begun();
    if (how === 'is cut') socket.end();
    const offset = offsetOf(await tus('HEAD', url));
    expect(offset).toBeGreaterThan(0); // what was read: the machine may be slower than this client
    expect(offset).toBeLessThanOrEqual(PART - KEPT);
    await eventually(() => Promise.resolve(parts(stage.proxy.broken)[0]));
    const { key, storageId } = await stage.engine.row(id);
    const multipart = new Multipart(stage.engine.storage as S3Storage);
    expect(await multipart.lastNumber(key, storageId ?? '', 0)).toBe(0);
    socket.destroy();
    expect((await patch(url, offset, bytes.subarray(offset))).status).toBe(204);
    expect(await stage.engine.digest(id)).toBe(sha256(bytes));
  },
);

it('keeps no call open for a slow client', async () => {
  const { url, id } = await createUpload(stage.engine, bytes.length);
  const socket = await startPatch(stage.engine.port, id, 0, PART, bytes.subarray(0, 6 * KEPT));
  await sleep(500); // the client is slow
  await new Promise((sent) => socket.write(bytes.subarray(6 * KEPT, 16 * KEPT), sent));
  await sleep(500); // it is read
  const offset = await eventually(async () => (await tus('HEAD', url), (await stage.engine.row(id)).offset));
  expect(offset).toBeLessThanOrEqual(16 * KEPT); // less where the machine is the slow one: HEAD ends the PATCH
  expect(parts(stage.proxy.calls)).toEqual([]);
  socket.destroy();
});

it('copies it for those who read along', async () => {
  const hooks = { mayFollow: () => true, isFollowed: () => Promise.resolve(true) };
  const followed = await startEngine(stage.ground, { env: { S3_ENDPOINT: stage.proxy.url }, hooks });
  try {
    const { id } = await createUpload(followed, bytes.length);
    expect(await patchStreamed(id, 0, PART, followed.port)).toBe(204);
    const copy = await buffer(await followed.storage.read(partCopy(id, 1)));
    expect(sha256(copy)).toBe(sha256(bytes.subarray(0, PART)));
  } finally {
    await followed.close();
  }
});

it.each([
  ['is wanted with a digest', {}, { 'Upload-Checksum': `sha1 ${Buffer.alloc(20).toString('base64')}` }],
  ['is to be signed', { S3_SIGN_PAYLOAD: 'true' }, {}],
])('sends no part before it is full that %s', async (_what, env, headers) => {
  const other = await startEngine(stage.ground, { env: { S3_ENDPOINT: stage.proxy.url, ...env } });
  try {
    const { url, id } = await createUpload(other, bytes.length);
    const socket = await startPatch(other.port, id, 0, PART, bytes.subarray(0, PART - KEPT), headers);
    await eventually(async () => (await other.row(id)).storageId !== null);
    await tus('HEAD', url); // what arrived is stored
    expect(parts(stage.proxy.calls)).toEqual([]);
    socket.destroy();
  } finally {
    await other.close();
  }
});
