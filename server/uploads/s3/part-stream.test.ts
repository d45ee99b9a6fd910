import { jest } from '@jest/globals';
import { buffer } from 'node:stream/consumers';
import { PartStream, type ComingBytes } from './part-stream.ts';

const KIB = 1024;
const SIZE = 8 * 1024 * KIB;
const bytes = Buffer.alloc(SIZE, 'what was sent');

beforeEach(() => jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask'] }));
afterEach(() => jest.useRealTimers());

const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A part whose call to S3, once begun, ends when its bytes do, or by its signal. */
function open({ headSize = 0, ready = Promise.resolve() } = {}) {
  const calls: ComingBytes[] = [];
  const sent: Buffer[] = [];
  const stream = new PartStream({
    ...{ bytes, headSize },
    ready: () => ready,
    send: async (part) => {
      calls.push(part);
      const ended = new Promise<never>((_, reject) =>
        part.signal.addEventListener('abort', () => reject(new Error('given up'))),
      );
      sent.push(await Promise.race([buffer(part.body), ended]));
      return 'tag';
    },
  });
  return { stream, calls, sent };
}

/** So many bytes came by this time. */
async function come(stream: PartStream, fill: number, ms: number): Promise<void> {
  jest.advanceTimersByTime(ms);
  stream.grow(fill);
  await soon();
}

it('sends the bytes of a fast client as they come', async () => {
  const { stream, calls, sent } = open();
  await come(stream, 256 * KIB, 1);
  expect(calls).toHaveLength(0); // too few to tell
  await come(stream, 1024 * KIB, 50);
  expect(calls).toMatchObject([{ size: SIZE }]);
  await come(stream, 5000 * KIB, 200);
  await come(stream, SIZE, 150);
  expect(await stream.end()).toBe('tag');
  expect(sent[0]?.equals(bytes)).toBe(true);
  expect(stream.isReading).toBe(false);
});

it('begins with the last half second of a slow client, and counts no byte that did not come from it', async () => {
  const { stream, calls } = open({ headSize: 4000 * KIB });
  await come(stream, 6000 * KIB, 2_000);
  await come(stream, SIZE - 600 * KIB, 1_592);
  expect(calls).toHaveLength(0);
  await come(stream, SIZE - 400 * KIB, 200);
  expect(calls).toHaveLength(1);
});

it('gives up when its client stalls, and does not begin again', async () => {
  const { stream, calls } = open();
  await come(stream, 1024 * KIB, 10);
  await come(stream, 7000 * KIB, 999);
  expect(calls[0]?.signal.aborted).toBe(false);
  await come(stream, 7001 * KIB, 1);
  expect(calls[0]?.signal.aborted).toBe(true);
  await come(stream, SIZE, 1);
  expect([await stream.end(), calls.length, stream.isReading]).toEqual([undefined, 1, true]);
});

it('waits for the answer of S3 as long as that takes, once all is sent', async () => {
  const { stream } = open();
  await come(stream, 1024 * KIB, 10);
  stream.grow(SIZE);
  const end = stream.end();
  jest.advanceTimersByTime(60_000);
  expect(await end).toBe('tag');
});

it('gives up when no more comes', async () => {
  const { stream, calls } = open();
  await come(stream, 1024 * KIB, 10);
  expect(await stream.end()).toBeUndefined();
  expect(calls[0]?.signal.aborted).toBe(true);
});

it('sends nothing of a part that was full before it could begin, nor of one that can not', async () => {
  let begin!: () => void;
  const late = open({ ready: new Promise<void>((resolve) => (begin = resolve)) });
  await come(late.stream, 1024 * KIB, 10);
  await come(late.stream, SIZE, 10);
  begin();
  const never = open({ ready: Promise.reject(new Error('no bucket')) });
  await come(never.stream, 1024 * KIB, 10);
  never.stream.grow(SIZE);
  for (const { stream, calls } of [late, never])
    expect([await stream.end(), calls, stream.isReading]).toEqual([undefined, [], false]);
});
