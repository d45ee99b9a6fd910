/**
 * The verbs of tus 1.0: @tus/server's handlers, changed where its own lose or invent something.
 *
 * - PATCH reads Node's request itself and waits for the flush before the lease is let go, also when the
 *   connection is cut. (`stream.pipeline` comes back earlier, and another request may then write too.)
 * - POST writes media and ledger in one transaction and answers a repeated creation with the first upload.
 * - HEAD needs no lease to say where an idle upload stands, and returns Upload-Metadata as it was sent.
 */
import type { DataStore, Server, ServerOptions, Upload } from '@tus/server';
import type { UploadRow } from '../../db/schema.ts';
import type { Authorize } from './access.ts';
import { readTusWish, type Create } from './creation.ts';
import { exchangeOf } from './exchange.ts';
import type { Leases } from './ledger/leases.ts';
import type { UploadStanding } from './ledger/ledger.ts';
import { locationOf } from './location.ts';
import type { Receiving } from './receiving.ts';
import { reprDigestOf } from './repr-digest.ts';
import type { LedgerStore } from './store.ts';

type Handlers = Server['handlers'];
type HandlerClass<M extends keyof Handlers> = new (store: DataStore, options: ServerOptions) => Handlers[M];

/** The class of a handler, which @tus/server does not export. */
const classOf = <M extends keyof Handlers>(server: Server, method: M): HandlerClass<M> =>
  server.handlers[method].constructor as HandlerClass<M>;

/** What the protocols work with. */
export interface Engine {
  store: LedgerStore;
  leases: Leases;
  create: Create;
  authorize: Authorize;
  receiving: Receiving;
}

/** Puts our handlers in place of the server's. */
export function installHandlers(server: Server, engine: Engine): void {
  const { store, leases, create } = engine;
  const { receive, settle } = engine.receiving;
  const { config } = store.ctx;

  class Patch extends classOf(server, 'PATCH') {
    override async send(...args: Parameters<Handlers['PATCH']['send']>): Promise<Response> {
      const response = await super.send(...args);
      tellMore(response.headers, exchangeOf(args[0]).upload);
      return response;
    }
    protected override async writeToStore(_body: unknown, { id }: Upload, limit: number): Promise<number> {
      const lease = leases.held(id);
      const offset = await receive(lease, limit, { handBack: true });
      exchangeOf(lease).upload = lease.upload;
      return offset;
    }
  }

  class Post extends classOf(server, 'POST') {
    override async send(...[request, , headers = new Headers()]: Parameters<Handlers['POST']['send']>) {
      const exchange = exchangeOf(request);
      const upload = await create(exchange, () => readTusWish(exchange, config), receive);
      headers.set('Location', locationOf(exchange.request, upload.id, config.publicUrl));
      if (!isUnjoined(upload)) headers.set('Upload-Offset', String(upload.offset));
      tellMore(headers, upload);
      return this.write(201, headers);
    }
  }

  class Head extends classOf(server, 'HEAD') {
    override async send(...[request, , headers = new Headers()]: Parameters<Handlers['HEAD']['send']>) {
      const id = this.getFileIdFromRequest(request) ?? '';
      await this.options.onIncomingRequest?.(request, id);
      describe(headers, await settle(authorized(request)));
      return new Response(null, { status: 200, headers });
    }
  }

  server.handlers.PATCH = new Patch(store, server.options);
  server.handlers.POST = new Post(store, server.options);
  server.handlers.HEAD = new Head(store, server.options);
}

/** What the request was found to be about when it was authorized. */
function authorized(request: Request): UploadStanding {
  const { standing } = exchangeOf(request);
  if (!standing) throw new Error('the request was not authorized');
  return standing;
}

/** tus 1.0, HEAD: the offset always, the length or that it is deferred, the metadata "as specified by the Client". */
function describe(headers: Headers, upload: UploadRow): void {
  headers.set('Cache-Control', 'no-store');
  if (!isUnjoined(upload)) headers.set('Upload-Offset', String(upload.offset));
  if (upload.concat !== null) headers.set('Upload-Concat', upload.concat);
  if (upload.length === null) {
    if (upload.kind !== 'final') headers.set('Upload-Defer-Length', '1');
  } else headers.set('Upload-Length', String(upload.length));
  if (upload.metadata) headers.set('Upload-Metadata', upload.metadata);
  tellMore(headers, upload);
}

/** "SHOULD NOT contain the Upload-Offset header unless the concatenation has been successfully finished." */
const isUnjoined = ({ kind, state }: UploadRow): boolean => kind === 'final' && state !== 'complete';

/**
 * tus 1.0, expiration: "MUST be included in every PATCH response if the upload is going to expire." And the digest that
 * was wanted with the creation.
 */
function tellMore(headers: Headers, upload: UploadRow | undefined): void {
  if (!upload) return;
  for (const [name, value] of Object.entries(reprDigestOf(upload))) headers.set(name, value);
  if (upload.expiresAt) headers.set('Upload-Expires', new Date(upload.expiresAt).toUTCString());
}
