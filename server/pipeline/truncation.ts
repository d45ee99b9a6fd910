/** How much of an MP4 or QuickTime file is missing: its boxes say how long they are. */
import { open, type FileHandle } from 'node:fs/promises';
import { boxHeader } from '../hls/boxes.ts';

/** Far more top-level boxes than any player would walk; fragmented files have two for each fragment. */
const MAX_BOXES = 200_000;

/** Bytes that the file's top-level boxes promise and that are not there; 0 when it is whole. */
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
    const { size, header } = boxHeader(head, 0, fileSize - at);
    if (size < header) return 0; // not a box: trailing garbage, which players skip
    at += size;
  }
  return Math.max(0, at - fileSize);
}
