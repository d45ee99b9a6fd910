/** Uploads are read while they arrive: what the ledger promised, and nothing else, wherever the bytes are. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { PrefixEnded } from '../../server/errors.ts';
import { openPrefix } from '../../server/uploads/index.ts';
import { eventually } from '../server.ts';
import { createUpload, openGround, patch, startEngine, tus } from './harness.ts';
import type { Engine, Ground, StorageName } from './harness.ts';

const MiB = 1024 * 1024;
const PART = 5 * MiB;
const bytes = randomBytes(3 * PART + 2 * MiB);

describe.each<StorageName>(['disk', 's3'])('on %s', (storage) => {
  let ground: Ground;
  let engine: Engine;
  let followed: boolean;
  beforeAll(async () => {
    ground = await openGround('sqlite', storage);
    engine = await startEngine(ground, {
      env: { UPLOAD_PART_SIZE: '5MB' },
      hooks: { mayFollow: () => true, isFollowed: () => Promise.resolve(followed) },
      uploads: { strayAfterMs: 0 },
    });
  });
  afterAll(async () => {
    await engine?.close();
    await ground?.close();
  });
  beforeEach(() => {
    followed = true;
  });

  /** Reads in the background. */
  function follow(id: string, idleMs = 600_000) {
    const stop = new AbortController();
    const seen = { bytes: Buffer.alloc(0), end: '' };
    const reading = (async () => {
      const prefix = openPrefix(engine, id, { signal: stop.signal, pollMs: 10, idleMs });
      try {
        for await (const chunk of prefix) seen.bytes = Buffer.concat([seen.bytes, chunk]);
        seen.end = 'whole';
      } catch (error) {
        seen.end = error instanceof PrefixEnded ? error.message : String(error);
      }
    })();
    return { seen, stop, reading };
  }

  async function copies(id: string): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of engine.storage.list(`incoming/${id}/`)) keys.push(key);
    return storage === 's3' ? keys : [];
  }

  it('gives what is committed as it comes, and all of it in the end', async () => {
    const { url, id } = await createUpload(engine, bytes.length);
    const { seen, reading } = follow(id);
    await patch(url, 0, bytes.subarray(0, PART + MiB));
    // The bytes after the last whole part may come later.
    await eventually(() => Promise.resolve(seen.bytes.length >= PART));
    expect(seen.end).toBe('');
    await patch(url, PART + MiB, bytes.subarray(PART + MiB, 2 * PART + 2 * MiB));
    await eventually(() => Promise.resolve(seen.bytes.length >= 2 * PART));
    await patch(url, 2 * PART + 2 * MiB, bytes.subarray(2 * PART + 2 * MiB));
    await reading;
    expect(seen.end).toBe('whole');
    expect(seen.bytes.equals(bytes)).toBe(true);
    expect(await copies(id)).toEqual([]);
  });

  it('gives nothing of a body whose digest is wrong', async () => {
    const { url, id } = await createUpload(engine, bytes.length);
    const { seen, reading } = follow(id);
    const wrong = randomBytes(2 * PART);
    const headers = { 'upload-checksum': `sha1 ${Buffer.alloc(20).toString('base64')}` };
    expect((await patch(url, 0, wrong, headers)).status).toBe(460);
    await patch(url, 0, bytes);
    await reading;
    expect(seen.end).toBe('whole');
    expect(seen.bytes.equals(bytes)).toBe(true);
  });

  it('ends when the upload is terminated, and leaves nothing', async () => {
    const { url, id } = await createUpload(engine, bytes.length);
    const { seen, reading } = follow(id);
    await patch(url, 0, bytes.subarray(0, 2 * PART));
    await eventually(() => Promise.resolve(seen.bytes.length === 2 * PART));
    await tus('DELETE', url);
    await reading;
    expect(seen.end).toMatch(/terminated/);
    expect(await copies(id)).toEqual([]);
  });

  it('does not wait for a silent upload for ever', async () => {
    const { url, id } = await createUpload(engine, bytes.length);
    await patch(url, 0, bytes.subarray(0, 2 * PART));
    const { seen, reading } = follow(id, 50);
    await reading;
    expect(seen.end).toMatch(/nothing came/);
    expect(seen.bytes.length).toBe(2 * PART);
  });

  it('can be stopped', async () => {
    const { id } = await createUpload(engine, bytes.length);
    const { seen, stop, reading } = follow(id);
    await sleep(0);
    stop.abort();
    await reading;
    expect(seen.end).toMatch(/AbortError/);
  });

  if (storage === 's3')
    it('stores parts twice only for those who read', async () => {
      followed = false;
      const { url, id } = await createUpload(engine, bytes.length);
      await patch(url, 0, bytes.subarray(0, PART));
      expect(await copies(id)).toEqual([]);
      followed = true;
      await patch(url, PART, bytes.subarray(PART, 2 * PART));
      expect(await copies(id)).toEqual([`incoming/${id}/parts/2`]);
      const { seen, reading } = follow(id);
      await reading;
      expect(seen.end).toMatch(/part 1/);
      // Nobody reads any more: the sweep needs no end of the upload.
      followed = false;
      await engine.uploads.sweep();
      expect(await copies(id)).toEqual([]);
      expect((await patch(url, 2 * PART, bytes.subarray(2 * PART))).status).toBe(204);
      expect(await engine.digest(id)).toBeDefined();
    });
});
