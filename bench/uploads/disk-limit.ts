/** What a disk lets anybody have: a program that only writes, with no network, and what is left of its speed when it waits for the disk. */
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { median } from './measure.ts';

const MIB = 1024 * 1024;
const BLOCK = Buffer.alloc(64 * 1024, 1);

/** MiB/s. */
export interface DiskLimit {
  /** Into the page cache. */
  written: number;
  /** With `fdatasync` after each piece. */
  flushed: number;
}

/** Writes files of `pieces` pieces of so many bytes in `folder`, `rounds` times without and with `fdatasync`. The medians. */
export async function diskLimit(
  folder: string,
  { pieceBytes, pieces, rounds }: { pieceBytes: number; pieces: number; rounds: number },
): Promise<DiskLimit> {
  const written: number[] = [];
  const flushed: number[] = [];
  for (let round = 0; round < rounds; round++)
    for (const [speeds, durable] of [[written, false] as const, [flushed, true] as const]) {
      const path = join(folder, 'limit');
      const file = await open(path, 'w');
      const since = performance.now();
      for (let piece = 0; piece < pieces; piece++) {
        for (let at = 0; at < pieceBytes; at += BLOCK.length) await file.write(BLOCK);
        if (durable) await file.datasync();
      }
      speeds.push((pieceBytes * pieces) / MIB / ((performance.now() - since) / 1000));
      await file.datasync();
      await file.close();
      await rm(path);
    }
  return { written: median(written), flushed: median(flushed) };
}
