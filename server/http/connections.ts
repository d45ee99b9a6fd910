/** Times and sizes of connections, for `http.createServer`. */
import type { ServerOptions } from 'node:http';

/**
 * No limit on the length of a request (a PATCH may take hours); silence is limited by the upload engine. Idle connections
 * live longer than those that proxies and clients keep open, so that none is closed while a request is on its way.
 */
export const CONNECTIONS = {
  requestTimeout: 0,
  headersTimeout: 30_000,
  keepAliveTimeout: 70_000,
  maxHeaderSize: 32 * 1024,
} satisfies ServerOptions;
