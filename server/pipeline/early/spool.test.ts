import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { spool } from './spool.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-spool-'));
});
afterEach(() => rm(folder, { recursive: true }));

const bytes = randomBytes(3 * 1024 * 1024 + 17);

async function* slices(until = bytes.length): AsyncGenerator<Buffer> {
  for (let at = 0; at < until; at += 100_000) {
    await turn();
    yield bytes.subarray(at, Math.min(until, at + 100_000));
  }
}

async function all(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const read: Buffer[] = [];
  for await (const chunk of chunks) read.push(Buffer.from(chunk));
  return Buffer.concat(read);
}

it('gives every reader everything, whenever it begins', async () => {
  const { signal } = new AbortController();
  const { path, read, filled } = spool(slices(), join(folder, 'source'));
  const early = [all(read(signal)), all(read(signal))];
  await filled;
  const late = await all(read(signal));
  for (const each of [...(await Promise.all(early)), late, await readFile(path)])
    expect(each.equals(bytes)).toBe(true);
});

it('tells its readers why it was not filled, after all there was', async () => {
  async function* broken(): AsyncGenerator<Buffer> {
    yield* slices(500_000);
    throw new Error('the upload is terminated');
  }
  const { read, filled } = spool(broken(), join(folder, 'source'));
  let size = 0;
  const reading = (async () => {
    for await (const chunk of read(new AbortController().signal)) size += chunk.length;
  })();
  await expect(reading).rejects.toThrow('terminated');
  await expect(filled).rejects.toThrow('terminated');
  expect(size).toBe(500_000);
});

it('lets go of a reader that waits', async () => {
  const stop = new AbortController();
  const end = new AbortController();
  async function* endless(): AsyncGenerator<Buffer> {
    yield bytes;
    await new Promise((_, reject) => end.signal.addEventListener('abort', () => reject(new Error('over'))));
  }
  const { read, filled } = spool(endless(), join(folder, 'source'));
  const reader = read(stop.signal);
  for (let size = 0; size < bytes.length;) size += ((await reader.next()).value as Buffer).length;
  const waiting = reader.next();
  stop.abort();
  await expect(waiting).rejects.toThrow('abort');
  end.abort();
  await expect(filled).rejects.toThrow('over');
});
