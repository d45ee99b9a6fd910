/** How much of an MP4 or QuickTime file is missing: its boxes say how long they are. */
import { open } from 'node:fs/promises';
import { fileBoxes } from './file-boxes.ts';

/** Boxes that a file is made of. What else seems to stand at its end, cut off, was appended by another program. */
const CONTENT = new Set(['ftyp', 'moov', 'mdat', 'styp', 'sidx', 'moof', 'emsg']);

/**
 * Bytes that the file's top-level boxes promise and that are not there; 0 when it is whole. Whatever follows the last
 * box and is none doesn't count: players skip it.
 */
export async function missingBytes(path: string, fileSize: number): Promise<number> {
  const handle = await open(path, 'r');
  try {
    for await (const { type, at, size } of fileBoxes(handle, fileSize))
      if (at + size > fileSize) return CONTENT.has(type) ? at + size - fileSize : 0;
    return 0;
  } finally {
    await handle.close();
  }
}
