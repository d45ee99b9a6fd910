/** An HTTP proxy in front of an S3 server that plays its documented and its rude faults. */
import { once } from 'node:events';
import {
  Agent,
  createServer,
  request,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * error: 500 InternalError, nothing done
 * rash: the same, before the body came
 * reset: the connection breaks in the middle of the request
 * lost:  the server does it, but its answer never arrives
 * broken: the answer breaks in its middle
 * stall: nothing moves for a while, then the connection breaks; nothing done
 * slow:  it is done, late
 * short: the answer is whole, but lacks the last byte of what is stored
 * absent, page, text: what stands in front of S3 answers for it while it is away, by 404 or, worse, by a page of its own
 * busy, expired, unknown, skewed, elsewhere: S3 refuses
 */
export type Fault =
  | 'pass'
  | 'rash'
  | 'reset'
  | 'lost'
  | 'broken'
  | 'stall'
  | 'slow'
  | 'short'
  | 'absent'
  | 'page'
  | 'text'
  | Refusal;

/** What S3 says, and its word for it. */
const REFUSALS = {
  error: [500, 'InternalError'],
  busy: [503, 'SlowDown'],
  expired: [400, 'ExpiredToken'],
  unknown: [403, 'InvalidAccessKeyId'],
  skewed: [403, 'RequestTimeTooSkewed'],
  elsewhere: [307, 'TemporaryRedirect'],
  nowhere: [404, 'NoSuchBucket'],
} as const;
export type Refusal = keyof typeof REFUSALS;

/** What others say in its place. */
const PAGES = {
  absent: [404, ''],
  text: [404, '404 page not found\n'],
  page: [200, '<html><body>We will be back soon.</body></html>'],
} as const;

const STALL_MS = 700;
const SLOW_MS = 150;

export interface S3Call {
  method: string;
  key: string;
  query: URLSearchParams;
  /** PutObject, UploadPart, … as far as uploads use them. */
  operation: string;
  headers: IncomingHttpHeaders;
}

export interface FaultProxy {
  url: string;
  /** Decides about each call; passes by default. */
  rule: (call: S3Call) => Fault | Promise<Fault>;
  calls: S3Call[];
  /** Calls that S3 has answered. */
  answered: S3Call[];
  /** Calls whose connection ended before their body. */
  broken: S3Call[];
  faults: number;
  close(): Promise<void>;
}

export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const agent = new Agent({ keepAlive: true });
  const { hostname, port } = new URL(target);
  const server = createServer((incoming, outgoing) => void answer(incoming, outgoing)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy: FaultProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    rule: () => 'pass',
    calls: [],
    answered: [],
    broken: [],
    faults: 0,
    async close() {
      agent.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;

  async function answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const call = callOf(incoming);
    proxy.calls.push(call);
    incoming.on('close', () => incoming.complete || proxy.broken.push(call));
    const fault = await proxy.rule(call);
    if (fault !== 'pass') proxy.faults++;
    incoming.on('error', () => undefined);
    if (fault === 'rash') return tell(incoming, outgoing, refusalOf('error'));
    if (fault in REFUSALS) return say(incoming, outgoing, refusalOf(fault as Refusal));
    if (fault in PAGES) return say(incoming, outgoing, pageOf(fault as keyof typeof PAGES));
    if (fault === 'reset') return reset(incoming);
    if (fault === 'stall') return void setTimeout(() => incoming.socket.resetAndDestroy(), STALL_MS);
    if (fault === 'slow') return void setTimeout(() => forward(incoming, outgoing, call, fault), SLOW_MS);
    forward(incoming, outgoing, call, fault);
  }

  function forward(incoming: IncomingMessage, outgoing: ServerResponse, call: S3Call, fault: Fault): void {
    const { method, url: path, headers } = incoming;
    const upstream = request({ hostname, port, method, path, headers, agent }, (response) => {
      response.once('end', () => proxy.answered.push(call));
      if (fault === 'lost') return void response.resume().on('end', () => incoming.socket.resetAndDestroy());
      if (fault === 'short') return shorten(response, outgoing);
      outgoing.writeHead(response.statusCode ?? 500, response.headers);
      if (fault === 'broken') {
        // Its first bytes at most; an answer without a body breaks right after its head.
        response.once('data', (chunk: Buffer) => outgoing.write(chunk.subarray(0, chunk.length / 2)));
        return void response.resume().on('end', () => incoming.socket.resetAndDestroy());
      }
      response.pipe(outgoing);
    });
    upstream.on('error', () => incoming.socket.destroy());
    incoming.on('close', () => incoming.complete || upstream.destroy());
    incoming.pipe(upstream);
  }
}

interface Said {
  type: string;
  status: number;
  body: string;
}

function refusalOf(refusal: Refusal): Said {
  const [status, code] = REFUSALS[refusal];
  const body = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>We refuse.</Message></Error>`;
  return { type: 'application/xml', status, body };
}

function pageOf(page: keyof typeof PAGES): Said {
  const [status, body] = PAGES[page];
  return { type: 'text/html', status, body };
}

/** All but the last byte, as if there were no more. */
function shorten(response: IncomingMessage, outgoing: ServerResponse): void {
  let left = Number(response.headers['content-length']) - 1;
  outgoing.writeHead(response.statusCode ?? 500, { ...response.headers, 'content-length': left });
  response.on('data', (chunk: Buffer) => {
    outgoing.write(chunk.subarray(0, left));
    left -= Math.min(left, chunk.length);
  });
  response.on('end', () => outgoing.end());
}

/** When the whole request has come. */
const say = (incoming: IncomingMessage, outgoing: ServerResponse, said: Said): void =>
  void incoming.resume().on('end', () => tell(incoming, outgoing, said));

function tell(incoming: IncomingMessage, outgoing: ServerResponse, { type, status, body }: Said): void {
  outgoing.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) });
  outgoing.end(incoming.method === 'HEAD' ? undefined : body);
}

/** In the middle of the body when there is one. */
function reset(incoming: IncomingMessage): void {
  if (Number(incoming.headers['content-length'] ?? 0) === 0) incoming.socket.resetAndDestroy();
  else incoming.once('data', () => incoming.socket.resetAndDestroy());
}

function callOf({ method = '', url = '', headers }: IncomingMessage): S3Call {
  const { pathname, searchParams: query } = new URL(url, 'http://s3');
  const key = decodeURIComponent(pathname.split('/').slice(2).join('/'));
  return { method, key, query, operation: operationOf(method, query), headers };
}

function operationOf(method: string, query: URLSearchParams): string {
  if (query.has('partNumber')) return 'UploadPart';
  if (query.has('uploadId')) return method === 'POST' ? 'CompleteMultipartUpload' : 'AbortMultipartUpload';
  if (query.has('uploads')) return method === 'POST' ? 'CreateMultipartUpload' : 'ListMultipartUploads';
  return { PUT: 'PutObject', GET: 'GetObject', HEAD: 'HeadObject', DELETE: 'DeleteObject' }[method] ?? method;
}
