/** How much of an MP4 or QuickTime file is missing: its boxes say how long they are. */
import { open, type FileHandle } from 'node:fs/promises';
import { boxHeader } from '../../hls/boxes.ts';

/** Far more top-level boxes than any player would walk; fragmented files have two for each fragment. */
const MAX_BOXES = 200_000;
/** Boxes that a file is made of. What else seems to stand at its end, cut off, was appended by another program. */
const CONTENT = new Set(['ftyp', 'moov', 'mdat', 'styp', 'sidx', 'moof', 'emsg']);

/**
 * Bytes that the file's top-level boxes promise and that are not there; 0 when it is whole. Whatever follows the last
 * box and is none doesn't count: players skip it.
 */
export async function missingBytes(path: string, size: number): Promise<number> {
  const handle = await open(path, 'r');
  try {
    return await walk(handle, size);
  } finally {
    await handle.close();
  }
}

async function walk(handle: FileHandle, fileSize: number): Promise<number> {
  const head = Buffer.alloc(16);
  let at = 0;
  for (let n = 0; n < MAX_BOXES && at + 8 <= fileSize; n++) {
    const { bytesRead } = await handle.read(head, 0, 16, at);
    if (bytesRead < 16) return 0;
    const { type, size, header } = boxHeader(head, 0, fileSize - at);
    if (size < header) return 0;
    at += size;
    if (at > fileSize) return CONTENT.has(type) ? at - fileSize : 0;
  }
  return 0;
}
