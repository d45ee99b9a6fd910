import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Storage } from '../../storage/storage.ts';
import { fetchRendition } from './stored.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'millrace-stored-'));
});
afterAll(() => rm(dir, { recursive: true }));

const signal = new AbortController().signal;
const segments = Array.from({ length: 12 }, (_, n) => ({ key: `s${n}`, start: n, duration: 1 }));

/** A storage whose later objects begin to come sooner; tells what is open. */
function slow(body: (key: string) => Readable) {
  const open = new Set<Readable>();
  let most = 0;
  const read = async (key: string): Promise<Readable> => {
    await new Promise((resolve) => setTimeout(resolve, key === 'init' ? 30 : 1));
    const stream = body(key);
    open.add(stream.on('close', () => open.delete(stream)));
    most = Math.max(most, open.size);
    return stream;
  };
  return { storage: { read } as unknown as Storage, open, most: () => most };
}

it('writes all pieces in their order, few of which are open at a time', async () => {
  const { storage, open, most } = slow((key) => Readable.from([Buffer.from(`${key} `), Buffer.from('end ')]));
  const path = join(dir, 'whole');
  await fetchRendition({ storage, signal }, { init: 'init', segments }, path);
  expect(await readFile(path, 'utf8')).toBe(
    ['init', ...segments.map(({ key }) => key)].map((key) => `${key} end `).join(''),
  );
  expect(most()).toBe(3);
  expect(open.size).toBe(0);
});

it('ends with what one of them fails with, and leaves none open', async () => {
  const { storage, open } = slow((key) => {
    if (key !== 's4') return Readable.from([Buffer.from(key)]);
    const stream = new Readable({ read: () => undefined });
    setTimeout(() => stream.destroy(new Error('cut')), 10);
    return stream;
  });
  const fetching = fetchRendition({ storage, signal }, { init: 'init', segments }, join(dir, 'cut'));
  await expect(fetching).rejects.toThrow('cut');
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(open.size).toBe(0);
});
