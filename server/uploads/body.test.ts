import { jest } from '@jest/globals';
import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
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

it('waits on while a slow client sends only what is to be passed over', async () => {
  const { client, body } = open({ skip: 10 });
  let settled = false;
  const first = body.next().finally(() => (settled = true));
  for (const piece of ['1234', '5678']) {
    client.write(piece);
    await later(200);
    expect(settled).toBe(false);
  }
  client.write('90ab');
  await later(200);
  expect(Buffer.concat((await first) ?? []).toString()).toBe('ab');
  client.end('c');
  expect(Buffer.concat((await body.next()) ?? []).toString()).toBe('c');
  expect(await body.next()).toBeUndefined();
  expect([body.end, body.toSkip]).toEqual(['complete', 0]);
});

it('ends when nothing but what is to be passed over came', async () => {
  const { client, body } = open({ skip: 10 });
  const first = body.next();
  client.write('1234');
  await later(200);
  client.end();
  expect(await first).toBeUndefined();
  expect([body.end, body.toSkip]).toEqual(['complete', 6]);
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
