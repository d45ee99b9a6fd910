/** The tus server of an engine: @tus/server with our handlers, our authorization and our errors. */
import { REQUEST_METHODS, Server, type Locker } from '@tus/server';
import { AppError, notFound } from '../errors.ts';
import { CHECKSUM_ALGORITHMS } from './digest.ts';
import { attach, exchangeOf, methodOf, type Exchange } from './exchange.ts';
import { installHandlers, type Engine } from './handlers.ts';
import { limitsOfAll } from './ietf/answer.ts';
import { PARTIAL_UPLOAD } from './ietf/dialect.ts';
import type { Lease } from './ledger/leases.ts';
import { uploadIdOf, UPLOADS_PATH } from './location.ts';
import { problemOfRefusal, toAppError } from './problems.ts';
import type { Answer } from './response.ts';

export interface Tus {
  /** Answers one request; never throws. */
  answer(exchange: Exchange): Promise<Answer>;
  /** What lets a browser of another origin read an answer. */
  corsHeaders(exchange: Exchange): Promise<Headers>;
}

export function createTus(engine: Engine): Tus {
  const { store, leases, authorize } = engine;
  const { config } = store.ctx;
  const server = new Server({
    path: UPLOADS_PATH,
    datastore: store,
    locker: (request) => lockerFor(exchangeOf(request)),
    maxSize: config.uploads.maxSize,
    allowedOrigins: config.corsOrigins.includes('*') ? undefined : config.corsOrigins,
    allowedHeaders: [
      'Idempotency-Key',
      'Content-Disposition',
      'Upload-Checksum',
      ...DIGEST_FIELDS,
      ...DRAFT_FIELDS,
    ],
    exposedHeaders: [
      'Upload-Expires',
      'Retry-After',
      'Upload-Limit',
      'Tus-Checksum-Algorithm',
      'Repr-Digest',
      ...DRAFT_FIELDS,
    ],
    onIncomingRequest: async (request, id) => {
      await authorize(exchangeOf(request), id);
    },
    onResponseError: (request, error) => {
      const problem = (exchangeOf(request).problem = toAppError(error));
      return { status_code: problem.status, body: '' };
    },
  });
  installHandlers(server, engine);

  return { answer, corsHeaders };

  async function answer(exchange: Exchange): Promise<Answer> {
    try {
      const web = toWebRequest(exchange);
      attach(exchange, web);
      const response = await server.handleWeb(web);
      const { status, headers } = response;
      if (exchange.request.method === 'OPTIONS') offerDraft(headers);
      if (status >= 400) exchange.problem ??= problemOfRefusal(status, await response.text());
      const problem = exchange.problem;
      return { status: problem?.status ?? status, headers, problem };
    } catch (error) {
      const problem = toAppError(error);
      return { status: problem.status, headers: await commonHeaders(exchange), problem };
    }
  }

  /** The lock of @tus/server's handlers is a lease. */
  function lockerFor(exchange: Exchange): Locker {
    return {
      newLock(id) {
        let lease: Lease | undefined;
        return {
          async lock() {
            lease = await leases.acquire(id);
            attach(exchange, lease);
          },
          unlock: async () => lease?.release(),
        };
      },
    };
  }

  /** "the server MUST include the Upload-Limit header field with the corresponding limits" in response to OPTIONS. */
  function offerDraft(headers: Headers): void {
    headers.set('Tus-Checksum-Algorithm', CHECKSUM_ALGORITHMS.join(','));
    headers.set('Upload-Limit', limitsOfAll(config.uploads));
    headers.set('Accept-Patch', `${PARTIAL_UPLOAD}, application/offset+octet-stream`);
  }

  async function corsHeaders(exchange: Exchange): Promise<Headers> {
    const all = [...(await commonHeaders(exchange))];
    return new Headers(all.filter(([name]) => /^access-control-(allow-origin|expose|allow-cred)/.test(name)));
  }

  /** What every answer has: Tus-Resumable, and what lets a browser of another origin read it. */
  async function commonHeaders({ request }: Exchange): Promise<Headers> {
    const headers: Record<string, string> = request.headers.origin ? { origin: request.headers.origin } : {};
    return (await server.handleWeb(new Request('http://localhost/', { method: 'OPTIONS', headers }))).headers;
  }
}

/** Fields of the IETF draft that pages of another origin may send and read. */
const DRAFT_FIELDS = ['Upload-Complete', 'Upload-Incomplete', 'Upload-Draft-Interop-Version'];

/** RFC 9530 */
const DIGEST_FIELDS = ['Content-Digest', 'Repr-Digest', 'Want-Content-Digest', 'Want-Repr-Digest'];

/** Read from Node's request where they count, by Express, or checked by ourselves. */
const NOT_PASSED_ON = new Set([
  'upload-metadata',
  'upload-concat',
  'forwarded',
  'x-forwarded-host',
  'x-forwarded-proto',
]);

/** The request as @tus/server's handlers want it, without its body. Throws 404, 405, 415. */
function toWebRequest(exchange: Exchange): Request {
  const { request } = exchange;
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers))
    if (value !== undefined && !NOT_PASSED_ON.has(name)) headers.set(name, String(value));
  const method = methodOf(exchange);
  if (![...REQUEST_METHODS, 'GET'].includes(method))
    throw new AppError(405, 'method_not_allowed', 'This address takes POST, HEAD, PATCH and DELETE.', {
      headers: { Allow: REQUEST_METHODS.join(', ') },
    });
  const id = uploadIdOf(request);
  if (id === undefined || (id === '' && !['POST', 'OPTIONS'].includes(method))) throw notFound('No upload');
  if (id !== '' && method === 'POST')
    throw new AppError(405, 'method_not_allowed', 'POST to the collection makes an upload.', {
      headers: { Allow: 'HEAD, PATCH, DELETE, OPTIONS' },
    });
  if (method === 'PATCH' && headers.get('content-type') !== 'application/offset+octet-stream')
    throw new AppError(
      415,
      'content_type_invalid',
      'PATCH needs Content-Type: application/offset+octet-stream.',
    );
  // All that is read of it. To make a real one was a thirtieth of what a small PATCH costs.
  const read: Partial<Request> = {
    method,
    headers,
    url: `http://localhost${UPLOADS_PATH}/${id}`,
    body: null,
  };
  return read as Request;
}
