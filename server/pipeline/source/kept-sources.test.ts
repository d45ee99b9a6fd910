import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KeptSources } from './kept-sources.ts';

let scratchDir: string;
let kept: KeptSources;
let downloads: string[];
beforeEach(async () => {
  scratchDir = await mkdtemp(join(tmpdir(), 'millrace-kept-'));
  kept = new KeptSources(scratchDir);
  downloads = [];
});
afterEach(() => rm(scratchDir, { recursive: true }));

interface Read {
  held: number;
  text: string;
}

/** An attempt that reads the source of a media, and goes on until `end`. */
async function attempt(
  media: string,
  name: string,
  end: Promise<unknown> = Promise.resolve(),
): Promise<Read> {
  const folder = join(scratchDir, name);
  await mkdir(folder);
  const download = async (): Promise<void> => {
    downloads.push(name);
    await writeFile(join(folder, 'source'), `bytes of ${media}`);
  };
  try {
    return await kept.working(media, folder, async (held) => {
      const path = await kept.fetch(media, folder, download, new AbortController().signal);
      await end;
      return { held, text: await readFile(path, 'utf8') };
    });
  } finally {
    await rm(folder, { recursive: true });
  }
}

it('fetches a source once for attempts that run at the same time or follow each other', async () => {
  const reads = await Promise.all([attempt('film', 'a'), attempt('film', 'b')]);
  reads.push(await attempt('film', 'c'));
  expect(downloads).toHaveLength(1);
  expect(reads.map(({ text }) => text)).toEqual(Array(3).fill('bytes of film'));
  expect(reads.map(({ held }) => held)).toEqual([0, 0, 13]);
});

it('lets another attempt fetch it when the first one fails', async () => {
  const folder = join(scratchDir, 'failing');
  await mkdir(folder);
  let fail = (): void => undefined;
  const failure = new Promise<never>((_, reject) => (fail = () => reject(new Error('the line is cut'))));
  const { signal } = new AbortController();
  const first = kept.working('film', folder, () => kept.fetch('film', folder, () => failure, signal));
  const second = attempt('film', 'a');
  fail();
  await expect(first).rejects.toThrow('the line is cut');
  expect(await second).toEqual({ held: 0, text: 'bytes of film' });
  expect(downloads).toEqual(['a']);
});

it('keeps nothing for a next attempt when the last one has failed', async () => {
  await attempt('film', 'a');
  expect(await readdir(scratchDir)).toEqual(['film-0']);
  const cancelled = kept.working('film', undefined, () => Promise.reject(new Error('cancelled')));
  await expect(cancelled).rejects.toThrow('cancelled');
  expect(await readdir(scratchDir)).toEqual([]);
});

it('keeps none that nobody reads beside another, and takes none from those who read', async () => {
  await attempt('old', 'a');
  let end = (): void => undefined;
  const reading = attempt('long', 'b', new Promise<void>((resolve) => (end = resolve)));
  await attempt('new', 'c');
  expect((await readdir(scratchDir)).sort()).toEqual(['b', 'long-0', 'new-0']);
  await kept.close();
  expect(await readdir(scratchDir)).toEqual(['b']);
  end();
  expect((await reading).text).toBe('bytes of long');
  expect(await readdir(scratchDir)).toEqual([]);
});

it('lets an attempt end that waits for the download of another', async () => {
  for (const name of ['a', 'b']) await mkdir(join(scratchDir, name));
  const fetch = (name: string, download: () => Promise<unknown>, signal: AbortSignal): Promise<string> =>
    kept.fetch('film', join(scratchDir, name), download, signal);
  let end = (): void => undefined;
  const first = fetch(
    'a',
    () => new Promise<void>((resolve) => (end = resolve)),
    new AbortController().signal,
  );
  const cancel = new AbortController();
  const second = fetch('b', () => Promise.reject(new Error('not now')), cancel.signal);
  cancel.abort(new Error('cancelled'));
  await expect(second).rejects.toThrow('cancelled');
  end();
  await first;
});
