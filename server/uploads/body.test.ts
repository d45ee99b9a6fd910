import { jest } from '@jest/globals';
import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import type { Batching } from './batching.ts';
import { RequestBody, type BodyLimits } from './body.ts';
import { assertWhole } from './body-end.ts';

beforeEach(() => jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask'] }));
afterEach(() => jest.useRealTimers());

function open(limits: Partial<BodyLimits> = {}): { client: PassThrough; body: RequestBody } {
  const client = new PassThrough();
  const { signal } = new AbortController();
  const all = { limit: 1000, idleTimeoutMs: 60_000, signal, ...limits };
  return { client, body: new RequestBody(client as unknown as IncomingMessage, all) };
}

const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Lets the slow client's time pass, and what that sets off happen. */
async function later(ms: number): Promise<void> {
  await soon();
  jest.advanceTimersByTime(ms);
  await soon();
}

/** Reads a body to its end: what was stored, one entry per batch. */
function drain(body: RequestBody): { batches: string[]; done: Promise<void>; store: () => void } {
  const batches: string[] = [];
  let stored: (() => void) | undefined;
  const done = body.drain((pieces, bytes, next) => {
    const batch = Buffer.concat(pieces);
    expect(batch).toHaveLength(bytes);
    batches.push(batch.toString());
    stored = next;
  });
  return { batches, done, store: () => stored?.() };
}

it('waits on while a slow client sends only what is to be passed over', async () => {
  const { client, body } = open({ skip: 10 });
  const { batches, done, store } = drain(body);
  for (const piece of ['1234', '5678']) {
    client.write(piece);
    await later(200);
    expect(batches).toEqual([]);
  }
  client.write('90ab');
  await later(200);
  expect(batches).toEqual(['ab']);
  client.end('c');
  await later(200);
  expect(batches).toEqual(['ab']); // one at a time
  store();
  expect(batches).toEqual(['ab', 'c']);
  store();
  await done;
  expect([body.end, body.toSkip]).toEqual(['complete', 0]);
});

it('ends when nothing but what is to be passed over came', async () => {
  const { client, body } = open({ skip: 10 });
  const { batches, done } = drain(body);
  client.write('1234');
  await later(200);
  client.end();
  await done;
  expect([batches, body.end, body.toSkip]).toEqual([[], 'complete', 6]);
});

it('gathers what is worth a write, and does not keep a slow client waiting for more', async () => {
  const batching = { enter: jest.fn(), exit: jest.fn(), target: 8 };
  const { client, body } = open({ batching: batching as unknown as Batching });
  const { batches, done, store } = drain(body);
  for (const piece of ['1234', '5678', '9']) client.write(piece);
  await later(0);
  expect(batches).toEqual(['12345678']);
  store();
  expect(batches).toHaveLength(1);
  await later(200);
  expect(batches).toEqual(['12345678', '9']);
  client.end('0');
  await later(0);
  store();
  expect(batches).toEqual(['12345678', '9', '0']);
  store();
  await done;
  expect([batching.enter, batching.exit].map((counted) => counted.mock.calls.length)).toEqual([1, 1]);
});

it('makes a fast client wait while its bytes are stored', async () => {
  const KIB = 1024;
  const { client, body } = open({ limit: 10_000 * KIB });
  const { batches, done, store } = drain(body);
  for (let i = 0; i < 100; i++) client.write(Buffer.alloc(16 * KIB));
  await later(0);
  expect(client.isPaused()).toBe(true);
  expect(body.received).toBeLessThan(400 * KIB);
  client.end();
  while (!body.end || batches.join('').length < 1600 * KIB) {
    store();
    await later(0);
  }
  store();
  await done;
  expect(body.end).toBe('complete');
});

it('stops reading when its bytes can not be stored', async () => {
  const { client, body } = open();
  const done = body.drain((_pieces, _bytes, next) => next(new Error('the disk is full')));
  client.write('1234');
  await expect(done).rejects.toThrow('the disk is full');
  expect([body.end, client.isPaused()]).toEqual(['stopped', true]);
  const thrower = open();
  const thrown = thrower.body.drain(() => {
    throw new Error('the lease is lost');
  });
  thrower.client.write('1234');
  await expect(thrown).rejects.toThrow('the lease is lost');
});

it('tells a client that lives to come back when its bytes can not be stored, and never that its request is wrong', async () => {
  const { client, body } = open();
  client.write('1234');
  await later(200);
  body.stop();
  expect(body.end).toBe('stopped');
  expect(() => assertWhole(body, 'x')).toThrow('Resume in a moment');
  expect(() => assertWhole(open().body, 'x')).toThrow('before it came to an end');
});
