/** Answers to Node: problems as problem+json, and a way for the client to read them while it still sends. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { toProblem, type AppError } from '../errors.ts';

/** What a protocol answers to a request. */
export interface Answer {
  status: number;
  headers: Headers;
  problem: AppError | undefined;
  /** The body, when there is one and no problem. */
  json?: Record<string, unknown>;
  /** Say nothing and end the connection: what this client takes for a reason to resume. */
  cut?: boolean;
}

/** How long a client that was refused in the middle of its body may go on sending before the connection is closed. */
const LINGER_MS = 5_000;

/** Writes the answer; does nothing when the connection is gone. */
export async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  { status, headers, problem, json, cut }: Answer,
): Promise<void> {
  if (response.destroyed || response.headersSent) return;
  if (cut) return void response.destroy();
  headers.delete('Connection'); // @tus/server closes on every error; a client that still sends would not see why
  headers.append('Vary', 'Origin');
  for (const [name, value] of Object.entries(problem?.headers ?? {})) headers.set(name, value);
  headers.delete('Content-Length');
  if (problem) headers.delete('Content-Type'); // @tus/server's text is not what is sent
  let body: string | undefined;
  const requestId = response.getHeader('X-Request-Id');
  const document = problem ? { ...toProblem(problem), ...(requestId ? { requestId } : {}) } : json;
  if (document && request.method !== 'HEAD') {
    body = JSON.stringify(document);
    headers.set('Content-Type', problem ? 'application/problem+json' : 'application/json');
    headers.set('Content-Length', String(Buffer.byteLength(body)));
  } else if (status !== 204) headers.set('Content-Length', '0');
  response.writeHead(status, [...headers].flat());
  const written = new Promise<void>((resolve) => response.once('close', resolve).once('finish', resolve));
  response.end(body);
  await written;
  if (!request.complete && !request.destroyed) linger(request);
}

/**
 * Reads on for a moment. Closing a socket with unread bytes resets the connection, and the client would see
 * that instead of the answer.
 */
function linger(request: IncomingMessage): void {
  const timer = setTimeout(() => request.socket.destroy(), LINGER_MS).unref();
  request.once('close', () => clearTimeout(timer));
  request.once('end', () => clearTimeout(timer));
  request.resume();
}
