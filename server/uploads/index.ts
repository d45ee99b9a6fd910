/** The upload engine: resumable uploads (tus 1.0, the IETF's draft) over an SQL ledger, bytes on disk or S3. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import type { Context } from '../context.ts';
import { DiskStorage } from '../storage/disk.ts';
import { S3Storage } from '../storage/s3.ts';
import { createAccess } from './access.ts';
import { createCreation } from './creation.ts';
import { DiskStore } from './disk/store.ts';
import type { Exchange } from './exchange.ts';
import type { Engine } from './handlers.ts';
import type { UploadHooks } from './hooks.ts';
import { createDraft } from './ietf/index.ts';
import { Leases, type LeaseOptions } from './ledger/leases.ts';
import { createReceiving } from './receiving.ts';
import { respond } from './response.ts';
import { S3Store } from './s3/store.ts';
import type { LedgerStore, StoreContext } from './store.ts';
import { sweepUploads } from './sweep.ts';
import { createTus } from './tus.ts';

export { findUpload } from './ledger/ledger.ts';
export { awaitWhole, openPrefix } from './prefix.ts';
export { quotaFor, usageOf, usageOfAll, type Usage } from './quota.ts';
export type { MediaOfUpload, UploadHooks } from './hooks.ts';
export { parseMetadata, TITLE_LENGTH, type FileDescription, type Visibility } from './metadata.ts';

export interface Uploads {
  /** Answers a request to `/files` or `/files/{id}`. Never throws. */
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
  /** Removes whatever an unfinished upload of this media stored; a running request is cut. Idempotent. */
  discard(mediaId: string): Promise<void>;
  /** Finishes what a crash left unfinished, expires, removes strays. Once a minute is enough. */
  sweep(): Promise<void>;
  /** Drain: running requests flush and commit what arrived and are told to come back. Nothing is taken any more. */
  close(): Promise<void>;
}

/** Times that tests shorten. */
export interface UploadsOptions extends LeaseOptions {
  /** Age at which bytes that no row knows are removed. */
  strayAfterMs?: number;
  /** How long an answer waits for a final upload to be put together. */
  joinWaitMs?: number;
}

/** How long a drain waits for storage that does not answer. */
const DRAIN_MS = 10_000;

export function createUploads(
  ctx: Pick<Context, 'config' | 'db' | 'logger' | 'storage'>,
  hooks: UploadHooks,
  options: UploadsOptions = {},
): Uploads {
  const logger = ctx.logger.child({ name: 'uploads' });
  const leases = new Leases(ctx.db, logger, options);
  const store = openStore(
    { strayAfterMs: 3_600_000, joinWaitMs: 20_000, ...options, ...ctx, logger },
    hooks,
    leases,
  );
  const engine: Engine = {
    ...{ store, leases },
    create: createCreation(store, leases, hooks),
    authorize: createAccess(ctx.db, hooks),
    receiving: createReceiving(store, leases),
  };
  const tus = createTus(engine);
  const draft = createDraft(engine);
  const running = new Set<Promise<void>>();

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const exchange: Exchange = { request };
    const common = (): Promise<Headers> => tus.corsHeaders(exchange);
    const outcome = (await draft(exchange, response, common)) ?? (await tus.answer(exchange));
    const { problem } = outcome;
    if (problem && problem.status >= 500)
      logger.error({ err: problem.cause ?? problem, method: request.method, url: request.url }, problem.code);
    await respond(request, response, outcome);
  }

  return {
    async handle(request, response) {
      const work = answer(request, response);
      running.add(work);
      await work.finally(() => running.delete(work));
    },
    async discard(mediaId) {
      const rows = await ctx.db
        .selectFrom('upload')
        .select('id')
        .where('mediaId', '=', mediaId)
        .where((eb) => eb.or([eb('state', '!=', 'complete'), eb('kind', '=', 'partial')]))
        .execute();
      for (const { id } of rows) {
        const lease = await leases.acquire(id);
        await store.endings.abandon(lease).finally(() => lease.release());
      }
    },
    sweep: () => sweepUploads(store, leases),
    async close() {
      await Promise.race([
        leases.close().then(() => Promise.all(running)),
        setTimeout(DRAIN_MS, undefined, { ref: false }),
      ]);
    },
  };
}

function openStore(
  ctx: StoreContext & Pick<Context, 'storage'>,
  hooks: UploadHooks,
  leases: Leases,
): LedgerStore {
  if (ctx.storage instanceof DiskStorage) return new DiskStore(ctx, hooks, leases, ctx.storage);
  if (ctx.storage instanceof S3Storage) return new S3Store(ctx, hooks, leases, ctx.storage);
  throw new Error(`no upload store for ${ctx.storage.driver}`);
}
