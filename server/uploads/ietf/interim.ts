/** 104 (Upload Resumption Supported): interim responses, before and while the body is taken. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Hold } from '../ledger/ledger.ts';
import type { Dialect } from './dialect.ts';

const EVERY_MS = 1_000;

/** Node has no public way to write an interim response of any status; its own (103) are written like this. */
type Raw = ServerResponse & { _writeRaw(text: string, encoding: 'latin1'): boolean };

export interface Interim {
  /** Tells where the upload is. */
  announce(headers: Record<string, string>): void;
  /** Tells the committed offset about once a second, until the function it returns is called. */
  report(hold: Hold): () => void;
}

/**
 * Interim responses for clients that named a version that we speak; for all others nothing is written. "A server MUST NOT
 * send a 1xx response to an HTTP/1.0 client" (RFC 9110, section 15.2).
 */
export function createInterim(
  { httpVersion }: IncomingMessage,
  response: ServerResponse,
  { interop, progress }: Dialect,
): Interim {
  function write(headers: Record<string, string>): void {
    if (interop === undefined || httpVersion !== '1.1') return;
    if (response.headersSent || response.destroyed) return;
    const fields = Object.entries({ 'Upload-Draft-Interop-Version': String(interop), ...headers });
    const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
    (response as Raw)._writeRaw(`HTTP/1.1 104 Upload Resumption Supported\r\n${lines}\r\n`, 'latin1');
  }

  return {
    announce: write,
    report(hold) {
      let told = hold.upload.offset;
      const timer = setInterval(() => {
        const { offset } = hold.upload;
        if (!progress || offset <= told) return;
        write({ 'Upload-Offset': String((told = offset)) });
      }, EVERY_MS).unref();
      return () => clearInterval(timer);
    },
  };
}
