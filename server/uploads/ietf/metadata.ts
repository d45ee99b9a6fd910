/** What a client of the draft says about its file, by fields of representation metadata, as Upload-Metadata says it. */
import { parse as parseContentDisposition } from 'content-disposition';
import { AppError } from '../../errors.ts';
import { header, type Exchange } from '../exchange.ts';
import { PARTIAL_UPLOAD } from './dialect.ts';

/** Content types that HTTP clients send when nobody told them what the body is. They say nothing about a file. */
const NO_FILE_TYPES = [PARTIAL_UPLOAD, 'application/x-www-form-urlencoded', 'application/octet-stream'];

/**
 * The value of Upload-Metadata that says the same: `filename` from Content-Disposition, `filetype` from Content-Type,
 * and whatever Upload-Metadata itself says, which wins. Null for nothing. Throws 415 for a body that is not the file.
 */
export function metadataOf(exchange: Exchange): string | null {
  const sent = header(exchange, 'upload-metadata')?.trim();
  const keys = new Set(sent?.split(',').map((pair) => pair.trim().split(' ')[0]));
  const found = { filename: filenameOf(exchange), filetype: filetypeOf(exchange) };
  const pairs = Object.entries(found)
    .filter(([key, value]) => value && !keys.has(key))
    .map(([key, value]) => `${key} ${Buffer.from(value).toString('base64')}`);
  return [...(sent ? [sent] : []), ...pairs].join(',') || null;
}

/** "The Content-Disposition header field can be used to transmit a filename." RFC 6266; `filename*` wins. */
function filenameOf(exchange: Exchange): string {
  const value = header(exchange, 'content-disposition');
  if (value === undefined) return '';
  const { filename = '' } = parseContentDisposition(value).parameters;
  return filename && inUtf8(filename);
}

/** Node reads headers as Latin-1; clients that put a name there as it is wrote UTF-8. */
function inUtf8(text: string): string {
  // eslint-disable-next-line no-control-regex
  if (/[^\u0000-\u00ff]/.test(text)) return text; // decoded from `filename*`
  const decoded = Buffer.from(text, 'latin1').toString('utf8');
  return decoded.includes('\ufffd') ? text : decoded;
}

function filetypeOf(exchange: Exchange): string {
  const [type = ''] = (header(exchange, 'content-type') ?? '').split(';');
  const filetype = type.trim().toLowerCase();
  if (filetype === 'multipart/form-data')
    throw new AppError(415, 'content_type_invalid', 'Send the file itself as the body, not a form.');
  const coding = header(exchange, 'content-encoding') ?? 'identity';
  if (coding !== 'identity')
    throw new AppError(415, 'content_encoding_invalid', 'Send the file as it is, without Content-Encoding.', {
      headers: { 'Accept-Encoding': 'identity' },
    });
  return NO_FILE_TYPES.includes(filetype) ? '' : filetype;
}
