import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { storageContract } from './contract.ts';
import { DiskStorage } from './disk.ts';

const roots: string[] = [];
const newRoot = async (): Promise<string> => {
  const root = await mkdtemp(join(tmpdir(), 'millrace-disk-'));
  roots.push(root);
  return root;
};
afterAll(() => Promise.all(roots.map((root) => rm(root, { recursive: true, force: true }))));

storageContract('disk', async () => new DiskStorage(await newRoot()));

describe('DiskStorage', () => {
  it.each(['../outside', 'media/../../outside', '/etc/passwd', 'media/\0'])(
    'refuses the key %j',
    async (key) => {
      const storage = new DiskStorage(await newRoot());
      expect(() => storage.pathOf(key)).toThrow('bad storage key');
      await expect(storage.put(key, 'x')).rejects.toThrow('bad storage key');
    },
  );

  it('leaves no temporary file behind, not even after a failure', async () => {
    const storage = new DiskStorage(await newRoot());
    await storage.put('media/ok', 'x');
    await expect(storage.putFile('media/none', '/no/such/file')).rejects.toThrow();
    const left: string[] = [];
    for await (const { key } of storage.list('tmp/')) left.push(key);
    expect(left).toEqual([]);
  });

  it('knows the free space', async () => {
    expect(await new DiskStorage(await newRoot()).freeBytes()).toBeGreaterThan(0);
  });
});
