/** Bad networks, stalled clients, killed servers: nothing acknowledged is lost, and the object is the sent bytes. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { Upload } from 'tus-js-client';
import { DIALECTS } from '../databases.ts';
import { eventually } from '../server.ts';
import { startCuttingProxy, type CuttingProxy } from './cutting-proxy.ts';
import {
  createUpload,
  offsetOf,
  openGround,
  patch,
  sha256,
  startEngine,
  tus,
  type Answer,
} from './harness.ts';
import type { Engine, Ground } from './harness.ts';
import { startKillable } from './killable.ts';
import { seededRandom, type Random } from './random.ts';

const MiB = 1024 * 1024;
const bytes = randomBytes(48 * MiB + 4321);

/** Sends the head of a PATCH and some bytes, and then nothing more. */
async function stall(port: number, id: string, offset: number, body: Buffer): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(
    `PATCH /files/${id} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nAuthorization: Bearer alice\r\n` +
      `Content-Type: application/offset+octet-stream\r\nUpload-Offset: ${offset}\r\nContent-Length: ${bytes.length - offset}\r\n\r\n`,
  );
  await new Promise((resolve) => socket.write(body, resolve));
  return socket;
}

/** Waits until the server has written so many bytes; it promised nothing of them yet. */
async function arrived(ground: Ground, id: string, size: number): Promise<void> {
  const path = join(ground.database.dir, 'incoming', id);
  await eventually(async () => (await stat(path).catch(() => undefined))?.size === size);
}

describe.each(DIALECTS)('two servers on one %s', (dialect) => {
  let ground: Ground;
  let one: Engine;
  let two: Engine;

  beforeAll(async () => {
    ground = await openGround(dialect);
    one = await startEngine(ground);
    two = await startEngine(ground, { ownConnection: dialect === 'postgres' });
  });
  afterAll(async () => {
    await one.close();
    await two.close();
    await ground.close();
  });

  it.each(['the same', 'the other'])('a stalled PATCH is taken over at once on %s server', async (where) => {
    const { url, id } = await createUpload(one, bytes.length);
    const socket = await stall(one.port, id, 0, bytes.subarray(0, 3 * MiB));
    await arrived(ground, id, 3 * MiB);
    const there = where === 'the same' ? url : url.replace(one.url, two.url);
    const head = await tus('HEAD', there);
    expect([head.status, offsetOf(head)]).toEqual([200, 3 * MiB]);
    expect((await patch(there, 3 * MiB, bytes.subarray(3 * MiB))).status).toBe(204);
    socket.destroy();
    expect(await two.digest(id)).toBe(sha256(bytes));
    expect([...one.finished, ...two.finished].filter((done) => done === id)).toHaveLength(1);
  });

  it('racing PATCHes of one upload end in one object, one finish and no lost byte', async () => {
    const { url, id } = await createUpload(one, bytes.length);
    const clients = [url, url.replace(one.url, two.url)].map((at) => resume(at, { pieces: () => 7 * MiB }));
    await Promise.all(clients);
    expect(await one.digest(id)).toBe(sha256(bytes));
    expect([...one.finished, ...two.finished].filter((done) => done === id)).toHaveLength(1);
  });

  it('a server that was paused past its lease can neither commit nor touch the bytes', async () => {
    // Lapses before the first commit of a silent body is due, and is never renewed.
    const paused = await startEngine(ground, { uploads: { leaseMs: 800, pollMs: 1_000_000 } });
    const { url, id } = await createUpload(paused, bytes.length);
    const there = url.replace(paused.url, one.url);
    expect((await patch(there, 0, bytes.subarray(0, 4 * MiB))).status).toBe(204);
    const socket = await stall(paused.port, id, 4 * MiB, bytes.subarray(4 * MiB, 5 * MiB));
    const answered = once(socket, 'data');
    await arrived(ground, id, 5 * MiB);
    expect(offsetOf(await tus('HEAD', there))).toBe(4 * MiB);
    expect((await patch(there, 4 * MiB, bytes.subarray(4 * MiB, 30 * MiB))).status).toBe(204);
    socket.write(Buffer.alloc(MiB, 'other bytes'));
    expect(String(await answered)).toMatch(/^HTTP\/1.1 423/);
    socket.destroy();
    expect((await patch(there, 30 * MiB, bytes.subarray(30 * MiB))).status).toBe(204);
    expect(await one.digest(id)).toBe(sha256(bytes));
    await paused.close();
  });

  it('a silent client is given up, and its bytes are kept', async () => {
    const impatient = await startEngine(ground, { env: { UPLOAD_IDLE_TIMEOUT: '200ms' } });
    const { url, id } = await createUpload(impatient, bytes.length);
    const socket = await stall(impatient.port, id, 0, bytes.subarray(0, 1000));
    const answer = String(await once(socket, 'data'));
    expect(answer).toMatch(/^HTTP\/1.1 503/);
    expect(offsetOf(await tus('HEAD', url))).toBe(1000);
    await impatient.close();
  });

  it('a server that ends flushes what arrived, and says so', async () => {
    const ending = await startEngine(ground);
    const { url, id } = await createUpload(ending, bytes.length);
    const socket = await stall(ending.port, id, 0, bytes.subarray(0, 2 * MiB));
    await arrived(ground, id, 2 * MiB);
    const answered = once(socket, 'data');
    await ending.close();
    expect(String(await answered)).toMatch(/^HTTP\/1.1 503[^]*Retry-After: 2/i);
    expect(offsetOf(await tus('HEAD', url.replace(ending.url, one.url)))).toBe(2 * MiB);
    expect((await one.row(id)).state).toBe('receiving');
  });
});

describe('a client on a bad network, a server that is killed', () => {
  let ground: Ground;
  let proxy: CuttingProxy;
  let random: Random;
  let engine: Awaited<ReturnType<typeof startKillable>>;
  let watcher: Engine;

  beforeAll(async () => {
    random = seededRandom('upload faults');
    ground = await openGround('sqlite');
    engine = await startKillable(ground);
    proxy = await startCuttingProxy(() => engine.port, random, { min: 500_000, max: 20 * MiB });
  });
  afterAll(async () => {
    await proxy.close();
    await engine.close();
    await ground.close();
  });
  beforeEach(async () => void (watcher = await startEngine(ground)));
  afterEach(() => watcher.close());

  it('no acknowledged byte is lost over cuts and kill -9', async () => {
    const { id } = await createUpload(engine, bytes.length);
    const url = `http://127.0.0.1:${proxy.port}/files/${id}`;
    let kills = 0;
    const killer = (async () => {
      for (; kills < 4; kills++) {
        await new Promise((resolve) => setTimeout(resolve, random.between(50, 600)));
        await engine.crash();
      }
      proxy.calm(true);
    })();
    await Promise.all([killer, resume(url, { pieces: () => random.between(1000, 9 * MiB), slow: true })]);
    expect(kills).toBe(4);
    expect(await watcher.digest(id)).toBe(sha256(bytes));
    expect((await watcher.media(id)).status).toBe('processing');
  });

  it('tus-js-client uploads through cuts and a kill in the middle of a PATCH', async () => {
    let crashed: Promise<void> | undefined;
    const url = await new Promise<string>((resolve, reject) => {
      const upload = new Upload(bytes, {
        endpoint: `http://127.0.0.1:${proxy.port}/files`,
        headers: { Authorization: 'Bearer alice' },
        metadata: { filename: 'client.bin' },
        retryDelays: Array.from({ length: 1_500 }, () => 50), // a busy machine starts a process slowly
        // The Location names the server itself; the client shall stay on the bad network.
        onUploadUrlAvailable: () => void (upload.url = throughProxy(upload.url)),
        onProgress: (sent) => {
          if (sent > 20 * MiB) crashed ??= engine.crash();
        },
        onError: reject,
        onSuccess: () => resolve(upload.url ?? ''),
      });
      upload.start();
    });
    await crashed;
    expect(crashed).toBeDefined();
    const id = url.split('/').at(-1) ?? '';
    expect(await watcher.digest(id)).toBe(sha256(bytes));
  });

  it('SIGTERM in the middle of a PATCH loses nothing that arrived', async () => {
    const { id } = await createUpload(engine, bytes.length);
    const socket = await stall(engine.port, id, 0, bytes.subarray(0, 5 * MiB));
    await arrived(ground, id, 5 * MiB);
    expect(await engine.stop()).toBe(0);
    socket.destroy();
    expect((await watcher.row(id)).offset).toBe(5 * MiB);
    await engine.start();
  });

  const throughProxy = (url: string | null): string | null =>
    url?.replace(/127\.0\.0\.1:\d+/, `127.0.0.1:${proxy.port}`) ?? null;
});

/**
 * A client that never gives up. Fails when the server takes back an offset that it acknowledged, or answers
 * something that would make a client give up.
 */
async function resume(url: string, options: { pieces: () => number; slow?: boolean }): Promise<void> {
  let acknowledged = 0;
  for (const deadline = Date.now() + 240_000; Date.now() < deadline;) {
    const head = await attempt(() => tus('HEAD', url));
    if (head?.status !== 200) {
      expect([undefined, 423, 503]).toContain(head?.status);
      await pause(30);
      continue;
    }
    let offset = offsetOf(head);
    expect(offset).toBeGreaterThanOrEqual(acknowledged);
    acknowledged = offset;
    while (offset < bytes.length) {
      const piece = bytes.subarray(offset, Math.min(bytes.length, offset + options.pieces()));
      const answer = await attempt(() => patch(url, offset, options.slow ? trickle(piece) : piece));
      if (answer?.status !== 204) {
        expect([undefined, 409, 423, 503]).toContain(answer?.status);
        break;
      }
      expect(offsetOf(answer)).toBe(offset + piece.length);
      acknowledged = offset = offsetOf(answer);
    }
    if (offset === bytes.length) return;
  }
  throw new Error('the upload did not come to its end');
}

/** Undefined when the connection failed. */
async function attempt(send: () => Promise<Answer>): Promise<Answer | undefined> {
  return send().catch((error: unknown) => {
    if ((error as Error).message === 'fetch failed') return undefined; // no instanceof: jest has realms
    throw error;
  });
}

/** A body that takes its time, so that a kill finds a PATCH in its middle. */
function trickle(piece: Buffer): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    async pull(controller) {
      if (at >= piece.length) return controller.close();
      controller.enqueue(new Uint8Array(piece.subarray(at, (at += 256 * 1024))));
      await pause(5);
    },
  });
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
