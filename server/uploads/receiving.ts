/** What every protocol does with an upload: append a request's body to it, and say where it stands. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { UploadRow } from '../../db/schema.ts';
import { RequestBody } from './body.ts';
import { readBodyDigest } from './digest.ts';
import { exchangeOf } from './exchange.ts';
import type { Lease, Leases } from './ledger/leases.ts';
import { isWhole, type UploadStanding } from './ledger/ledger.ts';
import { assembling, keyReused, tooLarge } from './problems.ts';
import { quotaExceeded, quotaFor, quotaLeft } from './quota.ts';
import type { LedgerStore } from './store.ts';

/** How long a HEAD waits for another request that puts the upload together, and how often it looks. */
const RIVAL_WAIT_MS = 5_000;
const RIVAL_POLL_MS = 200;

export interface ReceiveOptions {
  /** Bytes at the beginning of the body that arrived before. */
  skip?: number;
  /** More bytes than the known length end the upload, as if its client had given it up. */
  voidsSurplus?: boolean;
  /** The caller wants nothing more of the lease once the body is stored: one commit less. */
  handBack?: boolean;
}

export interface Receiving {
  /** Appends the body of the request that the lease was taken for, `limit` bytes at most. Returns the committed offset. */
  receive(lease: Lease, limit: number, options?: ReceiveOptions): Promise<number>;
  /** Records the length of an upload that was created without one. Throws 413. */
  declareLength(lease: Lease, length: number): Promise<void>;
  /** The upload at rest: whoever writes to it is asked to flush and let go, a finish left open is done. */
  settle(standing: UploadStanding): Promise<UploadRow>;
}

export function createReceiving(store: LedgerStore, leases: Leases): Receiving {
  const limits = store.ctx.config.uploads;
  const { idleTimeoutMs, maxSize } = limits;
  const rivalWaitMs = Math.min(RIVAL_WAIT_MS, store.ctx.joinWaitMs);

  /** The upload complete, by us or by whoever is at it. Throws 423 when that takes long. */
  async function joined(upload: UploadRow): Promise<UploadRow> {
    for (const deadline = performance.now() + rivalWaitMs; ;) {
      const found = await store.finishing.join(upload);
      if (found.state === 'complete') return found;
      if (performance.now() >= deadline) throw assembling();
      await sleep(RIVAL_POLL_MS, undefined, { ref: false });
    }
  }

  return {
    async receive(lease, limit, { skip = 0, voidsSurplus = false, handBack = false } = {}) {
      const { request, principal } = exchangeOf(lease);
      const digest = readBodyDigest(request);
      const { owner, length } = lease.upload;
      const announced = length !== null; // then it was counted at that time
      const quota = quotaFor(owner, principal, limits);
      const left = announced ? Infinity : await quotaLeft(store.ctx.db, owner, quota);
      await store.room.assert(Number(request.headers['content-length'] ?? 0), { announced });
      const room = Math.min(limit, left);
      if (room === 0 && limit > 0) throw quotaExceeded(quota);
      const body = new RequestBody(request, {
        limit: room,
        skip,
        digest,
        idleTimeoutMs,
        signal: lease.signal,
        batching: store.batching,
      });
      const voids = voidsSurplus && lease.upload.length !== null;
      const onSurplus = voids ? () => store.remove(lease.upload.id) : undefined;
      const offset = await store
        .receive(lease, body, { onSurplus, handBack })
        .catch((error: unknown) => {
          throw body.end === 'too_large' && room < limit ? quotaExceeded(quota) : error;
        })
        .finally(() => body.stop());
      if (body.toSkip > 0) throw keyReused();
      return offset;
    },
    async declareLength({ upload }, length) {
      if (length > maxSize) throw tooLarge(`The upload is larger than ${maxSize} bytes.`);
      await store.declareUploadLength(upload.id, length);
    },
    async settle({ upload, leased }) {
      const idle = upload.state === 'receiving' && !leased && !isWhole(upload);
      if (idle || upload.state === 'complete') {
        await store.durable(); // whoever wrote it may not have answered yet
        return upload;
      }
      if (upload.state === 'assembling')
        return upload.kind === 'final' ? store.finishing.join(upload) : joined(upload);
      const lease = await leases.acquire(upload.id);
      try {
        await store.getUpload(upload.id);
        return lease.upload;
      } finally {
        await lease.release();
      }
    },
  };
}
