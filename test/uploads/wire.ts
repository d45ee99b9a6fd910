/** HTTP/1.1 by a bare socket: what is really on the wire, interim responses included. */
import { connect } from 'node:net';

export interface WireResponse {
  status: number;
  reason: string;
  /** Names in lower case. */
  headers: Record<string, string>;
  body: string;
}

export interface WireAnswer extends WireResponse {
  /** Interim responses that came before. */
  interim: WireResponse[];
}

export type Fields = Record<string, string | undefined>;

export interface WireOptions {
  /** Break the connection after so many bytes of the body. */
  cutAfter?: number;
  /** Awaited before the break, once those bytes are sent. */
  beforeCut?: () => Promise<unknown>;
  version?: '1.0' | '1.1';
  /** Called with each interim response as it comes. */
  onInterim?: (response: WireResponse) => void;
  /** Sends the body only once an interim response came, as clients may that wait for the 104. */
  waits?: boolean;
}

/** The connection ended without a final response. */
export class CutError extends Error {
  readonly interim: WireResponse[];

  constructor(interim: WireResponse[]) {
    super('the connection ended without a response');
    this.interim = interim;
  }
}

/** Sends one request and reads until its final response is complete. Rejects with `CutError`. */
export function wire(
  method: string,
  url: string,
  fields: Fields,
  body: Buffer = Buffer.alloc(0),
  { cutAfter, beforeCut, version = '1.1', onInterim, waits = false }: WireOptions = {},
): Promise<WireAnswer> {
  const { port, pathname, host } = new URL(url);
  const all = { Host: host, Connection: 'close', ...fields };
  const lines = Object.entries(all).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}`],
  );
  const interim: WireResponse[] = [];
  return new Promise((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0);
    let sent = !waits;
    const socket = connect(Number(port), '127.0.0.1');
    const sendBody = (): void => {
      if (cutAfter === undefined) socket.write(body);
      else socket.write(body.subarray(0, cutAfter), () => void cut());
    };
    const cut = async (): Promise<void> => {
      await beforeCut?.();
      socket.end(() => socket.destroy());
    };
    socket.write(`${method} ${pathname} HTTP/${version}\r\n${lines.join('\r\n')}\r\n\r\n`);
    if (sent) sendBody();
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      for (;;) {
        const parsed = parse(received, method);
        if (!parsed) return;
        const { response, rest } = parsed;
        if (response.status >= 200) {
          socket.destroy();
          return resolve({ ...response, interim });
        }
        received = rest;
        interim.push(response);
        onInterim?.(response);
        if (!sent) sendBody();
        sent = true;
      }
    });
    socket.on('error', () => undefined);
    socket.on('close', () => reject(new CutError(interim)));
  });
}

function parse(bytes: Buffer, method: string): { response: WireResponse; rest: Buffer } | undefined {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [first = '', ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  const [, status, reason = ''] = /^HTTP\/1\.1 (\d{3}) (.*)$/.exec(first) ?? [];
  const headers = Object.fromEntries(
    lines.map((line) => [
      line.slice(0, line.indexOf(':')).toLowerCase(),
      line.slice(line.indexOf(':') + 1).trim(),
    ]),
  );
  const bare = method === 'HEAD' || Number(status) < 200 || status === '204';
  const length = bare ? 0 : Number(headers['content-length'] ?? 0);
  if (bytes.length < end + 4 + length) return undefined;
  const body = bytes.subarray(end + 4, end + 4 + length).toString();
  return {
    response: { status: Number(status), reason, headers, body },
    rest: bytes.subarray(end + 4 + length),
  };
}

/** A body in chunks, as Transfer-Encoding: chunked has it. */
export function chunked(...chunks: Buffer[]): Buffer {
  const parts = chunks.flatMap((chunk) => [`${chunk.length.toString(16)}\r\n`, chunk, '\r\n']);
  return Buffer.concat([...parts, '0\r\n\r\n'].map((part) => Buffer.from(part)));
}
