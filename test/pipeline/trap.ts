/** A pipeline with a secret beside the uploads and a web server that notes who asks: nothing may come of either. */
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mediaPrefix } from '../../server/storage/storage.ts';
import { openBench, type Bench } from './harness.ts';

/** What the secret file and the web server say. */
export const CANARY = 'CANARY-7f3a9c-of-another-tenant';

export interface Trap {
  bench: Bench;
  dir: string;
  /** Path of the secret. */
  canary: string;
  /** Where the web server has it. */
  address: string;
  /** Requests so far. */
  asked: string[];
  write(bytes: string | Buffer): Promise<string>;
  /**
   * Runs a file to its end: the status, or the code of the failure. Nothing stored but the source may hold `secret`, and
   * nothing may be left in scratch.
   */
  endOf(file: string, secret?: string): Promise<string>;
  close(): Promise<void>;
}

export async function setTrap(env: Record<string, string> = {}): Promise<Trap> {
  const bench = await openBench({ LADDER: '144', STORYBOARD: 'false', DOWNLOAD_MP4: 'true', ...env });
  const dir = await mkdtemp(join(tmpdir(), 'millrace-trap-'));
  const canary = join(dir, 'canary.txt');
  await writeFile(canary, CANARY);
  const asked: string[] = [];
  const server = createServer((req, res) => {
    asked.push(req.url ?? '');
    res.end(CANARY);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    ...{ bench, dir, canary, asked },
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}/canary`,
    async write(bytes) {
      const path = join(dir, 'upload.mp4');
      await writeFile(path, bytes);
      return path;
    },
    async endOf(file, secret = CANARY) {
      const id = await bench.upload(file);
      await bench.drain();
      const media = await bench.media(id);
      for await (const { key } of bench.storage.list(mediaPrefix(id))) {
        const stored = key === media.sourceKey ? '' : await readFile(bench.storage.pathOf(key), 'latin1');
        expect({ key, leaks: stored.includes(secret) }).toEqual({ key, leaks: false });
      }
      expect(await readdir(bench.ctx.config.encoding.scratchDir)).toEqual([]);
      return media.status === 'failed' ? (media.errorCode ?? '') : media.status;
    },
    async close() {
      await bench.close();
      server.close();
      await rm(dir, { recursive: true });
    },
  };
}
