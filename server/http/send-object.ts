/** Stored objects over HTTP: conditional requests and ranges (RFC 9110, sections 13 and 14). */
import { pipeline } from 'node:stream/promises';
import type { Request, Response } from 'express';
import { AppError, notFound } from '../errors.ts';
import { ObjectMissingError, type ByteRange, type ObjectStat, type Storage } from '../storage/storage.ts';

export interface ObjectHeaders {
  'Content-Type': string;
  'Cache-Control': string;
  'Content-Disposition'?: string;
  'Repr-Digest'?: string;
}

/** Answers GET and HEAD with an object: 200, 206 or 304. AppError 404 when it is not there, 412, 416. */
export async function sendObject(
  req: Request,
  res: Response,
  storage: Storage,
  key: string,
  headers: ObjectHeaders,
): Promise<void> {
  const stat = await storage.stat(key);
  if (!stat) throw notFound('No file');
  res.set({ ...headers, 'Accept-Ranges': 'bytes', ETag: stat.etag });
  res.set('Last-Modified', stat.modifiedAt.toUTCString());
  assertThat(req, stat);
  if (req.fresh) return void res.status(304).end();

  const range = requestedRange(req, stat);
  if (range) res.status(206).set('Content-Range', `bytes ${range.start}-${range.end}/${stat.size}`);
  // Of content that is neither coded nor cut, the two digests of RFC 9530 are the same.
  const digest = headers['Repr-Digest'];
  if (digest !== undefined && !range && req.get('want-content-digest')) res.set('Content-Digest', digest);
  res.set('Content-Length', String(range ? range.end - range.start + 1 : stat.size));
  if (req.method === 'HEAD' || stat.size === 0) return void res.end();
  await stream(res, storage, key, range);
}

/**
 * The one range that is asked for, cut to what there is. Anything else (several ranges, nonsense) is answered with
 * the whole, as RFC 9110 allows and every client understands; AppError 416 when no byte of the range exists.
 */
function requestedRange(req: Request, stat: ObjectStat): ByteRange | undefined {
  const { range: header, 'if-range': condition } = req.headers;
  const [, first, last] = /^bytes=(\d*)-(\d*)$/i.exec(header ?? '') ?? [];
  if (req.method !== 'GET' || !(first || last) || !stillThat(stat, condition)) return undefined;
  if (first && last && Number(last) < Number(first)) return undefined; // "invalid", so to be ignored
  const end = first && last ? Math.min(Number(last), stat.size - 1) : stat.size - 1;
  const start = first ? Number(first) : Math.max(0, stat.size - Number(last));
  if (start <= end) return { start, end };
  throw new AppError(416, 'range_not_satisfiable', `The file has ${stat.size} bytes.`, {
    extra: { size: stat.size },
    headers: { 'Content-Range': `bytes */${stat.size}` },
  });
}

/** If-Match and If-Unmodified-Since, in the order of RFC 9110, section 13.2.2. AppError 412. */
function assertThat(req: Request, { etag, modifiedAt }: ObjectStat): void {
  const { 'if-match': match, 'if-unmodified-since': since } = req.headers;
  // "MUST use the strong comparison function": a tag that begins with W/ is never ours
  const holds =
    match === undefined
      ? !(toSeconds(modifiedAt.getTime()) > Date.parse(since ?? '')) // what is no date is ignored
      : match.split(',').some((tag) => ['*', etag].includes(tag.trim()));
  if (!holds) throw new AppError(412, 'precondition_failed', 'The file is not the one you have a part of.');
}

/** HTTP dates have no fractions of a second. */
const toSeconds = (ms: number): number => Math.floor(ms / 1000) * 1000;

/** If-Range: a part only makes sense when it is a part of what the client has the rest of. */
function stillThat({ etag, modifiedAt }: ObjectStat, condition: string | string[] | undefined): boolean {
  if (typeof condition !== 'string') return true;
  if (condition.includes('"')) return condition === etag;
  return toSeconds(modifiedAt.getTime()) === Date.parse(condition);
}

async function stream(res: Response, storage: Storage, key: string, range?: ByteRange): Promise<void> {
  const gone = new AbortController();
  res.once('close', () => gone.abort());
  try {
    const body = await storage.read(key, range, gone.signal);
    // Since Node 24 pipeline() refuses an answer whose client has left, and nobody hears of the body's end: its error would
    // end the process.
    body.on('error', () => undefined);
    if (res.destroyed) return void body.destroy();
    await pipeline(body, res);
  } catch (error) {
    if (error instanceof ObjectMissingError) throw notFound('No file');
    if (!isDeparture(error)) throw error; // else the connection is closed already, and nobody is left to tell
  }
}

/** The client left: the answer's stream closed under the pipeline, or the read was aborted for it. */
function isDeparture(error: unknown): boolean {
  const { name, code } = (error ?? {}) as NodeJS.ErrnoException;
  return name === 'AbortError' || code === 'ERR_STREAM_PREMATURE_CLOSE';
}
