import type { FileHandle } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { FlushAhead } from './flush-ahead.ts';

const MUCH = 1024 * 1024;

/** A file of which each flush ends when the test says so. */
function slowFile() {
  const flushes: Flush[] = [];
  const datasync = (): Promise<void> => new Promise((resolve, reject) => flushes.push({ resolve, reject }));
  return { file: { datasync } as unknown as FileHandle, flushes };
}

interface Flush {
  resolve(): void;
  reject(error: Error): void;
}

it('flushes while bytes come, one at a time, and not for a few of them', async () => {
  const { file, flushes } = slowFile();
  const ahead = new FlushAhead(file);
  ahead.wrote(1000);
  expect(flushes).toHaveLength(0);
  ahead.wrote(MUCH);
  ahead.wrote(MUCH);
  expect(flushes).toHaveLength(1);
  flushes[0]!.resolve();
  await ahead.settled();
  ahead.wrote(1);
  expect(flushes).toHaveLength(2);
  flushes[1]!.resolve();
  await ahead.settled();
});

it('has all on the disk when flush resolves, whatever was on its way', async () => {
  const { file, flushes } = slowFile();
  const ahead = new FlushAhead(file);
  ahead.wrote(MUCH);
  let done = false;
  const flushed = ahead.flush().then(() => (done = true));
  expect(flushes).toHaveLength(2);
  flushes[1]!.resolve();
  await setImmediate();
  expect(done).toBe(false);
  flushes[0]!.resolve();
  await flushed;
});

it('fails with what an earlier flush failed with, though the system tells of it only once', async () => {
  const { file, flushes } = slowFile();
  const ahead = new FlushAhead(file);
  ahead.wrote(MUCH);
  flushes[0]!.reject(new Error('EIO'));
  await ahead.settled();
  for (const n of [1, 2]) {
    const flushed = ahead.flush();
    flushes[n]!.resolve();
    await expect(flushed).rejects.toThrow('EIO');
  }
});

it('leaves threads to those who write: two flushes at once', async () => {
  const files = [slowFile(), slowFile(), slowFile()];
  const aheads = files.map(({ file }) => new FlushAhead(file));
  for (const ahead of aheads) ahead.wrote(MUCH);
  expect(files.map(({ flushes }) => flushes.length)).toEqual([1, 1, 0]);
  files[0]!.flushes[0]!.resolve();
  await aheads[0]!.settled();
  aheads[2]!.wrote(1);
  expect(files[2]!.flushes).toHaveLength(1);
  for (const { flushes } of files) for (const flush of flushes) flush.resolve();
  await Promise.all(aheads.map((ahead) => ahead.settled()));
});
