/** The boxes that an MP4 or QuickTime file is made of, without what is in them. */
import type { FileHandle } from 'node:fs/promises';
import { boxHeader } from '../../hls/boxes.ts';

export interface FileBox {
  type: string;
  /** Where it begins. */
  at: number;
  /** Bytes of its header, and of all of it. */
  header: number;
  size: number;
}

/** Far more top-level boxes than any player would walk; fragmented files have two for each fragment. */
const MAX_BOXES = 200_000;

/** In their order, up to where something else begins. The last may reach beyond the end of the file. */
export async function* fileBoxes(handle: FileHandle, fileSize: number): AsyncGenerator<FileBox> {
  const head = Buffer.alloc(16);
  let at = 0;
  for (let n = 0; n < MAX_BOXES && at + 8 <= fileSize; n++) {
    const { bytesRead } = await handle.read(head, 0, 16, at);
    if (bytesRead < 16) return;
    const box = boxHeader(head, 0, fileSize - at);
    if (box.size < box.header) return;
    yield { ...box, at };
    at += box.size;
  }
}
