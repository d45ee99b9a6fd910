/**
 * Recognises what is surely not sound or video by its first bytes, before FFmpeg sees it: so that people are told
 * what they sent, and text that names other files is never opened by a program that would follow it.
 */
import { open } from 'node:fs/promises';

/** Magic numbers (as Latin-1), by what a person calls such a file. */
const MAGIC: readonly [what: string, starts: readonly string[]][] = [
  ['a picture', ['\x89PNG', '\xff\xd8\xff', 'GIF8', 'BM', 'II*\0', 'MM\0*', '8BPS', '\xff\x0a']],
  ['a picture', ['\0\0\0\x0cJXL ', '\0\0\0\x0cjP  ']],
  [
    'an archive',
    ['PK\x03\x04', 'PK\x05\x06', '7z\xbc\xaf', 'Rar!', '\x1f\x8b', 'BZh', '\xfd7zXZ', '(\xb5/\xfd'],
  ],
  ['a document', ['%PDF', '\xd0\xcf\x11\xe0', '{\\rtf']],
  ['a program', ['\x7fELF', 'MZ', '\xcf\xfa\xed\xfe', '\xce\xfa\xed\xfe', '\xca\xfe\xba\xbe']],
];
/** Pictures in containers of other things: HEIF and AVIF in MP4's (by brand), WebP in AVI's. */
const PICTURE_BRANDS = /^.{4}ftyp(hei[cxms]|mif1|msf1|avi[fs])|^RIFF.{4}WEBP/s;
const PLAYLIST = /^(\xef\xbb\xbf)?\s*(#EXTM3U|ffconcat|(<\?xml.*?>\s*)?(<!--.*?-->\s*)?<MPD)/s;

/** What a file is by its first bytes, when that is not sound or video; undefined when it may be. */
export function sniff(head: Buffer): string | undefined {
  const text = head.toString('latin1');
  if (PLAYLIST.test(text)) return 'a playlist that points at other files';
  if (PICTURE_BRANDS.test(text)) return 'a picture';
  const known = MAGIC.find(([, starts]) => starts.some((start) => text.startsWith(start)));
  return known?.[0] ?? (looksLikeText(head) ? 'text' : undefined);
}

/** The first bytes of a file, as many as `sniff` wants. */
export async function readHead(path: string): Promise<Buffer> {
  const handle = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4096), 0, 4096, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** No format of FORMATS is without control characters in its first 4 KiB. */
function looksLikeText(head: Buffer): boolean {
  return head.every(
    (byte) => byte >= 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d || byte === 0x0c,
  );
}
