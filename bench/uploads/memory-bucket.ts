/** The one bucket of the bench's S3 server: objects in memory as they came, and multipart uploads that are never completed. */
import type { IncomingHttpHeaders } from 'node:http';

export interface Call {
  method: string;
  /** Empty: the bucket itself. */
  key: string;
  query: URLSearchParams;
  headers: IncomingHttpHeaders;
  /** Empty for a part. */
  body: Buffer[];
  /** Bytes that came. */
  size: number;
}

export interface Answer {
  status: number;
  headers?: Record<string, string>;
  body?: string | Buffer;
}

interface Stored {
  chunks: Buffer[];
  size: number;
  etag: string;
  modified: Date;
  /** What is told of it beside its bytes: type and metadata. */
  headers: Record<string, string>;
}

interface Upload {
  key: string;
  id: string;
  initiated: Date;
  parts: Map<number, Stored>;
}

/** Query parameters that make another operation of a method and a key. */
const SUBRESOURCES = ['partNumber', 'uploadId', 'uploads', 'delete', 'list-type'];

/** Answers calls; what it does not know with 501. */
export function createBucket(): (call: Call) => Answer {
  const objects = new Map<string, Stored>();
  const uploads = new Map<string, Upload>();
  let ids = 0;

  const store = ({ body, size, headers }: Call): Stored => ({
    ...{ chunks: body, size },
    etag: `"${(++ids).toString(16).padStart(32, '0')}"`, // the MD5 of real ones would cost more than all else
    modified: new Date(),
    headers: toldOf(headers),
  });
  const onUpload = (work: (upload: Upload, call: Call) => Answer) => (call: Call) => {
    const upload = uploads.get(call.query.get('uploadId') ?? '');
    return upload?.key === call.key ? work(upload, call) : problem(404, 'NoSuchUpload');
  };

  const operations: Record<string, (call: Call) => Answer> = {
    'HEAD bucket': () => ({ status: 200 }),
    'GET bucket list-type': ({ query }) => {
      const found = [...objects].filter(([key]) => key.startsWith(query.get('prefix') ?? ''));
      const items = found.map(
        ([key, { size, modified }]) =>
          `<Contents><Key>${key}</Key><Size>${size}</Size><LastModified>${modified.toISOString()}</LastModified></Contents>`,
      );
      return xml('ListBucketResult', `<IsTruncated>false</IsTruncated>${items.join('')}`);
    },
    'GET bucket uploads': ({ query }) => {
      const found = [...uploads.values()].filter(({ key }) => key.startsWith(query.get('prefix') ?? ''));
      const items = found.map(
        ({ key, id, initiated }) =>
          `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>${initiated.toISOString()}</Initiated></Upload>`,
      );
      return xml('ListMultipartUploadsResult', `<IsTruncated>false</IsTruncated>${items.join('')}`);
    },
    'POST bucket delete': ({ body }) => {
      const keys = [
        ...Buffer.concat(body)
          .toString()
          .matchAll(/<Key>(.*?)<\/Key>/g),
      ];
      for (const [, key = ''] of keys) objects.delete(key);
      return xml('DeleteResult', '');
    },
    'PUT object': (call) => {
      const stored = store(call);
      objects.set(call.key, stored);
      return { status: 200, headers: { ETag: stored.etag } };
    },
    'GET object': (call) => read(objects.get(call.key), call.headers.range),
    'HEAD object': ({ key }) => {
      const found = objects.get(key);
      return found ? { status: 200, headers: headersOf(found, found.size) } : { status: 404 };
    },
    'DELETE object': ({ key }) => (objects.delete(key), { status: 204 }),
    'POST object uploads': ({ key }) => {
      const id = `upload-${++ids}`;
      uploads.set(id, { key, id, initiated: new Date(), parts: new Map() });
      return xml('InitiateMultipartUploadResult', `<Key>${key}</Key><UploadId>${id}</UploadId>`);
    },
    'PUT object partNumber': onUpload(({ parts }, call) => {
      const part = store(call);
      parts.set(Number(call.query.get('partNumber')), part);
      return { status: 200, headers: { ETag: part.etag } };
    }),
    'GET object uploadId': onUpload(({ parts }, { query }) => {
      const items = [...parts]
        .filter(([number]) => number > Number(query.get('part-number-marker') ?? 0))
        .sort(([a], [b]) => a - b)
        .map(
          ([number, { size, etag }]) =>
            `<Part><PartNumber>${number}</PartNumber><Size>${size}</Size><ETag>${etag}</ETag></Part>`,
        );
      return xml('ListPartsResult', `<IsTruncated>false</IsTruncated>${items.join('')}`);
    }),
    'DELETE object uploadId': onUpload(({ id }) => (uploads.delete(id), { status: 204 })),
  };

  return (call) => {
    const subresource = SUBRESOURCES.find((name) => call.query.has(name));
    const what = [call.method, call.key ? 'object' : 'bucket', ...(subresource ? [subresource] : [])];
    const isPlain = !call.headers['x-amz-copy-source'] && !call.headers['content-encoding'];
    const operation = isPlain ? operations[what.join(' ')] : undefined;
    return operation?.(call) ?? problem(501, 'NotImplemented');
  };
}

function read(found: Stored | undefined, range: string | undefined): Answer {
  if (!found) return problem(404, 'NoSuchKey');
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
  const whole = Buffer.concat(found.chunks);
  if (first === undefined) return { status: 200, headers: headersOf(found, found.size), body: whole };
  const body = whole.subarray(Number(first), Number(last) + 1);
  const place = { 'Content-Range': `bytes ${first}-${Number(first) + body.length - 1}/${found.size}` };
  return { status: 206, headers: { ...headersOf(found, body.length), ...place }, body };
}

const headersOf = ({ etag, modified, headers }: Stored, length: number): Record<string, string> => ({
  ...headers,
  ETag: etag,
  'Last-Modified': modified.toUTCString(),
  'Content-Length': String(length),
});

const toldOf = (headers: IncomingHttpHeaders): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      typeof value === 'string' && /^(content-type|x-amz-meta-.*)$/.test(name) ? [[name, value]] : [],
    ),
  );

const xml = (name: string, content: string, status = 200): Answer => ({
  status,
  headers: { 'Content-Type': 'application/xml' },
  body: `<?xml version="1.0" encoding="UTF-8"?><${name}>${content}</${name}>`,
});

const problem = (status: number, code: string): Answer =>
  xml('Error', `<Code>${code}</Code><Message>${code}</Message>`, status);
