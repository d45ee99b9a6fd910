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
 * reset: the connection breaks in the middle of the request
 * lost:  the server does it, but its answer never arrives
 * broken: the answer breaks in its middle
 * stall: nothing moves for a while, then the connection breaks; nothing done
 * slow:  it is done, late
 */
export type Fault = 'pass' | 'error' | 'reset' | 'lost' | 'broken' | 'stall' | 'slow';

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
    const fault = await proxy.rule(call);
    if (fault !== 'pass') proxy.faults++;
    incoming.on('error', () => undefined);
    if (fault === 'error') return refuse(incoming, outgoing);
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
      outgoing.writeHead(response.statusCode ?? 500, response.headers);
      if (fault === 'broken') {
        // Its first bytes at most; an answer without a body breaks right after its head.
        response.once('data', (chunk: Buffer) => outgoing.write(chunk.subarray(0, chunk.length / 2)));
        return void response.resume().on('end', () => incoming.socket.resetAndDestroy());
      }
      response.pipe(outgoing);
    });
    upstream.on('error', () => incoming.socket.destroy());
    incoming.pipe(upstream);
  }
}

function refuse(incoming: IncomingMessage, outgoing: ServerResponse): void {
  incoming.resume().on('end', () => {
    outgoing.writeHead(500, { 'Content-Type': 'application/xml' });
    outgoing.end(
      '<?xml version="1.0"?><Error><Code>InternalError</Code><Message>We erred.</Message></Error>',
    );
  });
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
