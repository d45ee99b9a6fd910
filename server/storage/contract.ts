/** What every storage driver promises: one suite that each of them passes. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { ObjectMissingError, type Storage } from './storage.ts';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Registers the suite for the driver that `open` makes. */
export function storageContract(name: string, open: () => Promise<Storage>): void {
  describe(`storage contract: ${name}`, () => {
    let storage: Storage;
    let scratch: string;
    const bytes = randomBytes(300_000);

    beforeAll(async () => {
      storage = await open();
      scratch = await mkdtemp(join(tmpdir(), 'millrace-storage-'));
    });
    afterAll(async () => {
      await storage.deletePrefix('media/');
      storage.close();
      await rm(scratch, { recursive: true, force: true });
    });

    it('is usable', () => expect(storage.check()).resolves.toBeUndefined());

    it('gives back what was put, whole and in ranges', async () => {
      await storage.put('media/a/bytes', bytes, { contentType: 'video/mp4' });
      expect(sha256(await buffer(await storage.read('media/a/bytes')))).toBe(sha256(bytes));
      const range = await buffer(await storage.read('media/a/bytes', { start: 1000, end: 200_000 }));
      expect(range.equals(bytes.subarray(1000, 200_001))).toBe(true);
      const last = await buffer(await storage.read('media/a/bytes', { start: 299_999, end: 299_999 }));
      expect(last.equals(bytes.subarray(299_999))).toBe(true);
    });

    it('knows size and a quoted entity tag that changes with the bytes', async () => {
      await storage.put('media/a/tag', 'one');
      const before = await storage.stat('media/a/tag');
      await storage.put('media/a/tag', 'two!');
      const after = await storage.stat('media/a/tag');
      expect(before?.size).toBe(3);
      expect(after?.size).toBe(4);
      expect(before?.etag).toMatch(/^"[^"]+"$/);
      expect(after?.etag).not.toBe(before?.etag);
      expect(after?.modifiedAt.getTime()).toBeGreaterThan(Date.now() - 60_000);
    });

    it('stores files and lends them to FFmpeg as a path', async () => {
      const path = join(scratch, 'file');
      await writeFile(path, bytes);
      await storage.putFile('media/a/file', path);
      const local = await storage.localPath('media/a/file', join(scratch, 'own'));
      expect(sha256(await readFile(local))).toBe(sha256(bytes));
      expect(sha256(await readFile(path))).toBe(sha256(bytes));
    });

    it('keeps a stored object when the file it came from is rewritten', async () => {
      const path = join(scratch, 'again');
      await writeFile(path, 'first');
      await storage.putFile('media/a/again', path);
      await rm(path);
      await writeFile(path, 'second');
      expect((await buffer(await storage.read('media/a/again'))).toString()).toBe('first');
    });

    it('tells a missing object from a failure', async () => {
      expect(await storage.stat('media/a/none')).toBeUndefined();
      await expect(storage.read('media/a/none')).rejects.toBeInstanceOf(ObjectMissingError);
      await expect(storage.localPath('media/a/none', scratch)).rejects.toBeInstanceOf(ObjectMissingError);
      await expect(storage.delete('media/a/none')).resolves.toBeUndefined();
      await expect(storage.deletePrefix('media/none/')).resolves.toBeUndefined();
    });

    it('stores empty objects', async () => {
      await storage.put('media/a/empty', '');
      expect((await storage.stat('media/a/empty'))?.size).toBe(0);
      expect((await buffer(await storage.read('media/a/empty'))).length).toBe(0);
    });

    it('lists and deletes a prefix and nothing beside it', async () => {
      await Promise.all(['b/1', 'b/sub/2', 'b/sub/deep/3', 'bb/4'].map((k) => storage.put(`media/${k}`, k)));
      const keys: string[] = [];
      for await (const { key, size } of storage.list('media/b/')) {
        keys.push(key);
        expect(size).toBe(key.length - 'media/'.length);
      }
      expect(keys.sort()).toEqual(['media/b/1', 'media/b/sub/2', 'media/b/sub/deep/3']);
      await storage.deletePrefix('media/b/');
      expect(await storage.stat('media/b/sub/2')).toBeUndefined();
      expect(await storage.stat('media/bb/4')).toBeDefined();
    });

    it('replaces an object in one step', async () => {
      const sizes = new Set<number>();
      await storage.put('media/a/swap', Buffer.alloc(100_000, 1));
      const writes = (async () => {
        for (let round = 0; round < 10; round++)
          await storage.put('media/a/swap', Buffer.alloc(100_000, round));
      })();
      for (let round = 0; round < 10; round++) sizes.add((await storage.stat('media/a/swap'))?.size ?? -1);
      await writes;
      expect([...sizes]).toEqual([100_000]);
    });
  });
}
