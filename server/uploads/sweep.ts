/** What requests left behind: finishes that a crash cut off, uploads nobody went on with, bytes nobody knows. */
import { transact } from '../../db/transaction.ts';
import type { Leases } from './ledger/leases.ts';
import { expiredUploads, unfinishedFinishes } from './ledger/ledger.ts';
import type { LedgerStore } from './store.ts';

/** Uploads looked at in one sweep; the rest waits for the next. */
const BATCH = 500;

/** One round. An upload that fails is logged and left to the next round. */
export async function sweepUploads(store: LedgerStore, leases: Leases): Promise<void> {
  const { db, logger } = store.ctx;
  for (const id of await unfinishedFinishes(db, BATCH))
    await each(id, () => store.finishing.finishLeft(leases.held(id)));
  for (const id of await expiredUploads(db, BATCH))
    await each(id, () => store.endings.expire(leases.held(id)));
  await store.removeStrays();
  await removePartials(store);
  await transact(db, (trx) =>
    trx
      .deleteFrom('uploadLock')
      .where('expiresAt', '<', Date.now() - 86_400_000)
      .execute(),
  );

  /** Only what nobody is at: a running request will finish its upload itself. */
  async function each(id: string, work: () => Promise<void>): Promise<void> {
    try {
      const lease = await leases.tryAcquire(id);
      if (!lease) return;
      await work().finally(() => lease.release());
    } catch (error) {
      logger.error({ err: error, upload: id }, 'an upload could not be swept');
    }
  }
}

/**
 * Partial uploads that ended, and what may be left of their bytes: nothing else points to them. Those that were joined
 * stay known as long as a client may come back for them that missed the end.
 */
async function removePartials(store: LedgerStore): Promise<void> {
  const { db, strayAfterMs, config } = store.ctx;
  const rows = await db
    .selectFrom('upload')
    .selectAll()
    .where('kind', '=', 'partial')
    .where('state', 'in', ['terminated', 'expired'])
    .where('updatedAt', '<', Date.now() - strayAfterMs)
    .where((eb) =>
      eb.or([
        eb('finalId', 'is', null),
        eb('state', '=', 'expired'),
        eb('updatedAt', '<', Date.now() - config.uploads.expiresMs),
      ]),
    )
    .limit(BATCH)
    .execute();
  for (const row of rows) {
    await store.discardBytes(row);
    // Its parts go with it.
    await transact(db, (trx) => trx.deleteFrom('upload').where('id', '=', row.id).execute());
  }
}
