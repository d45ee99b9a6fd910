import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { BatchBuffers } from './batch-buffers.ts';
import { RequestBody } from './body.ts';

const KIB = 1024;

function open(batches: BatchBuffers): { client: PassThrough; body: RequestBody } {
  const client = new PassThrough({ highWaterMark: 1024 * KIB });
  const { signal } = new AbortController();
  const limits = { limit: 10_000 * KIB, idleTimeoutMs: 60_000, signal, batches };
  return { client, body: new RequestBody(client as unknown as IncomingMessage, limits) };
}

const fill = (kib: number, byte: number): Buffer => Buffer.alloc(kib * KIB, byte);
const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it('gathers what arrives in a buffer, and uses that again only when the next batch is asked for', async () => {
  const { client, body } = open(new BatchBuffers({ size: 128 * KIB, most: 2, few: 0 }));
  for (const byte of [1, 2, 3]) client.write(fill(64, byte));
  const first = (await body.next()) ?? [];
  expect(Buffer.concat(first).equals(Buffer.concat([fill(64, 1), fill(64, 2)]))).toBe(true);
  client.end(fill(100, 4));
  await soon();
  await soon();
  expect(first[0]?.subarray(-64 * KIB).equals(fill(64, 2))).toBe(true); // not written over while it may be read
  const rest: Buffer[] = [];
  for (let batch; (batch = await body.next());) rest.push(Buffer.concat(batch));
  expect(Buffer.concat(rest).equals(Buffer.concat([fill(64, 3), fill(100, 4)]))).toBe(true);
  body.close();
});

it('gives every buffer back, also of bodies that were left', async () => {
  const batches = new BatchBuffers({ size: 64 * KIB, most: 2, few: 0 });
  const left = [open(batches), open(batches), open(batches)];
  for (const { client } of left) client.write(fill(64, 1));
  await Promise.all(left.slice(0, 2).map(({ body }) => body.next()));
  expect(batches.take()).toBeUndefined();
  expect(batches.scarce).toBe(true);
  for (const { body } of left.toReversed()) body.close();
  expect(batches.scarce).toBe(false);
  expect([batches.take(), batches.take()].every(Boolean)).toBe(true);
});

it('goes on without a buffer when others keep them', async () => {
  const batches = new BatchBuffers({ size: 64 * KIB, most: 1, few: 0 });
  const kept = batches.take();
  const { client, body } = open(batches);
  client.write(fill(40, 7));
  expect(Buffer.concat((await body.next()) ?? []).equals(fill(40, 7))).toBe(true);
  expect(batches.scarce).toBe(false);
  if (kept) batches.giveBack(kept);
  body.close();
});

it('tells who is patient when another waits, and hands the buffers on in turn', () => {
  const batches = new BatchBuffers({ size: 64 * KIB, most: 1 });
  const buffer = batches.take();
  const told: string[] = [];
  batches.bePatient(() => told.push('hurry'));
  batches.wait(() => told.push('first'));
  batches.wait(() => told.push('second'));
  expect(told).toEqual(['hurry']);
  for (let turn = 0; turn < 2; turn++) if (buffer) batches.giveBack(buffer);
  expect(told).toEqual(['hurry', 'first', 'second']);
});
