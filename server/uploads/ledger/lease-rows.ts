/** The statements behind leases: rows of `upload_lock`, one per upload that somebody is at. */
import type { Selectable } from 'kysely';
import type { Db, Trx } from '../../../db/dialect.ts';
import type { UploadLockTable, UploadRow } from '../../../db/schema.ts';
import { among, statement } from '../../../db/statement.ts';
import { transact } from '../../../db/transaction.ts';
import { notFound } from '../../errors.ts';
import type { Holder } from '../../holder.ts';

export interface Taken {
  /** Under its new epoch. */
  upload: UploadRow;
  /** Its last holder may still live. */
  usurped: boolean;
  /** Milliseconds since the epoch. */
  validUntil: number;
}

export interface Taking {
  uploadId: string;
  holder: Holder;
  leaseMs: number;
  /** Ask a living holder to let go. */
  demand: boolean;
  isDead(holder: Holder): boolean;
}

const insertLock = statement<{ holder: Holder }>(
  () =>
    'insert into upload_lock (upload_id, holder, wanted, expires_at) values (?, ?, 0, ?) on conflict do nothing returning holder',
);
const raiseEpoch = statement<UploadRow>(() => 'update upload set epoch = epoch + 1 where id = ? returning *');
/** Gives back a holder's lease on an upload, in whose last transaction it may be. */
export const deleteLock = statement<never>(
  () => 'delete from upload_lock where upload_id = ? and holder = ?',
);
const renewLocks = statement<{ holder: Holder }>(
  (postgres) => `update upload_lock set expires_at = ? where ${among('holder', postgres)} returning holder`,
);
const selectWanted = statement<{ holder: Holder; wanted: number }>(
  (postgres) => `select holder, wanted from upload_lock where ${among('holder', postgres)}`,
);

const lockOf = (trx: Trx, uploadId: string): Promise<Selectable<UploadLockTable> | undefined> =>
  trx.selectFrom('uploadLock').selectAll().where('uploadId', '=', uploadId).executeTakeFirst();

/** Takes a lease that is free, lapsed or a dead holder's, and raises the epoch. Throws 404 when there is no upload. */
export function takeLease(db: Db, taking: Taking): Promise<Taken | undefined> {
  const { uploadId, holder } = taking;
  // What a power cut takes back with the epoch was promised to nobody who survived it.
  return transact(db, take, { durable: false });

  async function take(trx: Trx): Promise<Taken | undefined> {
    const now = Date.now();
    const expiresAt = now + taking.leaseMs;
    const [fresh] = await insertLock(trx, uploadId, holder, expiresAt);
    const other = fresh ? undefined : await lockOf(trx, uploadId);
    const dead = other !== undefined && taking.isDead(other.holder);
    if (!fresh) {
      if (!other) return undefined; // given back this moment
      if (!dead && other.expiresAt >= now) {
        if (taking.demand && !other.wanted)
          await trx.updateTable('uploadLock').set({ wanted: 1 }).where('holder', '=', other.holder).execute();
        return undefined;
      }
      // Only if it still is as it was read: another process may be taking it too, or its holder renewing it.
      const won = await trx
        .updateTable('uploadLock')
        .set({ holder, wanted: 0, expiresAt })
        .where('holder', '=', other.holder)
        .where('expiresAt', '=', other.expiresAt)
        .returning('holder')
        .executeTakeFirst();
      if (!won) return undefined;
    }
    const [upload] = await raiseEpoch(trx, uploadId);
    if (!upload) throw notFound('No upload');
    return { upload, usurped: other !== undefined && !dead, validUntil: expiresAt };
  }
}

/** Gives a lease back; does nothing when somebody else took it over. */
export async function deleteLease(db: Db, uploadId: string, holder: Holder): Promise<void> {
  await transact(db, (trx) => deleteLock(trx, uploadId, holder), { durable: false });
}

/** Prolongs leases; resolves with those that are still there. */
export async function renewLeases(db: Db, holders: Holder[], expiresAt: number): Promise<Set<Holder>> {
  const renew = (trx: Trx) => renewLocks(trx, expiresAt, holders);
  const rows = await transact(db, renew, { durable: false });
  return new Set(rows.map((row) => row.holder));
}

/** Holder -> whether somebody wants its upload; without those whose lease is gone. */
export async function wantedLeases(db: Db, holders: Holder[]): Promise<Map<Holder, boolean>> {
  const rows = await selectWanted(db, holders);
  return new Map(rows.map((row) => [row.holder, row.wanted !== 0]));
}
