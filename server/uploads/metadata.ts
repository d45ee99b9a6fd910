/** Upload-Metadata (tus 1.0, creation): parsed strictly, and what we make of it. User input is hostile. */
import { AppError } from '../errors.ts';

export const VISIBILITIES = ['private', 'unlisted', 'public'] as const;
export type Visibility = (typeof VISIBILITIES)[number];

/** What a client says about its file. Text to show: nothing of it ever becomes part of a path. */
export interface FileDescription {
  title: string;
  filename: string | null;
  filetype: string | null;
  /** Undefined: the installation's default. */
  visibility: Visibility | undefined;
  /** Who shall encode it, as asked for: whether that may be chosen is not ours to say. */
  encoder?: string | undefined;
}

const FILENAME_BYTES = 255;
/** Characters of a title. More than a file's name has: that is the title of whoever gives none. */
export const TITLE_LENGTH = 500;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
/** "The key MUST NOT contain spaces and commas and MUST NOT be empty. The key SHOULD be ASCII encoded." */
const KEY = /^[\x21-\x2b\x2d-\x7e]+$/;
/** Control characters, line separators and the marks that reverse the direction of text. */
// eslint-disable-next-line no-control-regex
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu;

/**
 * Key -> decoded value. Throws 400 `metadata_invalid`, 413 `metadata_too_large` above `maxBytes`.
 * "one or more comma-separated key-value pairs … separated by a space … the value MUST be Base64 encoded.
 * All keys MUST be unique. The value MAY be empty."
 */
export function parseMetadata(header: string | undefined, maxBytes: number): Map<string, string> {
  const values = new Map<string, string>();
  if (!header?.trim()) return values;
  if (Buffer.byteLength(header) > maxBytes)
    throw new AppError(413, 'metadata_too_large', `Upload-Metadata may have ${maxBytes} bytes at most.`, {
      extra: { limit: maxBytes },
    });
  for (const pair of header.split(',')) {
    const [key = '', value = '', ...rest] = pair.trim().split(' ');
    if (!KEY.test(key) || rest.length || value.length % 4 !== 0 || !BASE64.test(value))
      throw invalid('Upload-Metadata must be pairs of an ASCII key and a Base64 value, separated by commas.');
    if (values.has(key)) throw invalid('Upload-Metadata names a key twice.');
    values.set(key, Buffer.from(value, 'base64').toString('utf8'));
  }
  return values;
}

/** Reads the keys we know (and the `name` and `type` that Uppy sends); all others are merely kept. */
export function describeFile(metadata: ReadonlyMap<string, string>): FileDescription {
  const filename = cleanFilename(metadata.get('filename') ?? metadata.get('name') ?? '');
  const filetype = clean(metadata.get('filetype') ?? metadata.get('type') ?? '').slice(0, 255);
  const title = clean(metadata.get('title') ?? '') || withoutExtension(filename) || 'Untitled';
  if (title.length > TITLE_LENGTH) throw invalid(`The title may have ${TITLE_LENGTH} characters at most.`);
  return {
    title,
    filename: filename || null,
    filetype: filetype || null,
    visibility: visibilityOf(metadata),
    encoder: clean(metadata.get('encoder') ?? '') || undefined,
  };
}

function visibilityOf(metadata: ReadonlyMap<string, string>): Visibility | undefined {
  const value = metadata.get('visibility');
  if (!value) return undefined;
  const known = VISIBILITIES.find((visibility) => visibility === value);
  if (!known) throw invalid(`The visibility must be one of ${VISIBILITIES.join(', ')}.`);
  return known;
}

/** The last part of whatever path a client sent, at most 255 bytes, cut between characters and before its extension. */
function cleanFilename(value: string): string {
  const name = clean(value.split(/[/\\]/).at(-1) ?? '');
  if (/^\.+$/.test(name)) return '';
  const [extension = ''] = EXTENSION.exec(name) ?? [];
  const stem = Buffer.from(name.slice(0, name.length - extension.length));
  let end = Math.min(stem.length, FILENAME_BYTES - Buffer.byteLength(extension));
  while (isContinuation(stem[end])) end--;
  return stem.toString('utf8', 0, end) + extension;
}

/** UTF-8 (RFC 3629, section 3): 10xxxxxx is never the first byte of a character. */
const isContinuation = (byte: number | undefined): boolean => byte !== undefined && (byte & 0xc0) === 0x80;

const clean = (value: string): string => value.slice(0, 4096).replaceAll(UNPRINTABLE, '').trim();

const EXTENSION = /(?<=.)\.[^.\s]{1,10}$/;
const withoutExtension = (filename: string): string => filename.replace(EXTENSION, '');

const invalid = (message: string): AppError => new AppError(400, 'metadata_invalid', message);
