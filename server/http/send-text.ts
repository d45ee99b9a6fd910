/** Texts made or rewritten for one request: conditional and gzipped. */
import { createHash } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Request, Response } from 'express';
import { notFound } from '../errors.ts';
import { ObjectMissingError, type Storage } from '../storage/storage.ts';
import type { ObjectHeaders } from './send-object.ts';

const compress = promisify(gzip);

/** Answers GET and HEAD with a text: 200 or 304. */
export async function sendText(
  req: Request,
  res: Response,
  content: string,
  headers: ObjectHeaders,
): Promise<void> {
  const zip = req.acceptsEncodings('gzip', 'identity') === 'gzip';
  const tag = createHash('sha256').update(content).digest('base64url').slice(0, 22);
  // RFC 9110, section 8.8.3.3: representations that differ in their coding differ in their strong ETag.
  res.set({ ...headers, ETag: `"${tag}${zip ? '-gzip' : ''}"` }).vary('Accept-Encoding');
  if (req.fresh) return void res.status(304).end();
  const body = zip ? await compress(content) : Buffer.from(content);
  if (zip) res.set('Content-Encoding', 'gzip');
  res.set('Content-Length', String(body.length)).end(req.method === 'HEAD' ? undefined : body);
}

/** A small stored text, whole; AppError 404 when it is not there. */
export async function readText(storage: Storage, key: string): Promise<string> {
  try {
    return await text(await storage.read(key));
  } catch (error) {
    if (error instanceof ObjectMissingError) throw notFound('No file');
    throw error;
  }
}
