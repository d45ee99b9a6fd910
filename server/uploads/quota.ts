/**
 * How much an owner may keep: QUOTA_PER_OWNER bounds its sources and what its unfinished uploads were announced to be.
 * Answered with 413, before bytes are taken: tus clients would try a 5xx again, and waiting frees nothing.
 */
import { sql } from 'kysely';
import { lockOwner, type Db, type Trx } from '../../db/dialect.ts';
import { AppError } from '../errors.ts';

/** Bytes that count: sources that are stored, unfinished uploads by their length, or by what arrived of them. */
export async function usageOf(db: Db, owner: string): Promise<number> {
  const stored = await db
    .selectFrom('upload')
    .innerJoin('media', 'media.id', 'upload.mediaId')
    .select(sql<number | string | null>`sum(upload.length)`.as('bytes'))
    .where('upload.owner', '=', owner)
    .where('upload.state', '=', 'complete')
    .where('upload.kind', '!=', 'partial')
    .where('media.deletedAt', 'is', null)
    .where('media.sourceKey', 'is not', null)
    .executeTakeFirst();
  // A final upload is counted by its partials as long as it has them.
  const arriving = await db
    .selectFrom('upload')
    .select(sql<number | string | null>`sum(coalesce("length", "offset"))`.as('bytes'))
    .where('owner', '=', owner)
    .where('kind', '!=', 'final')
    .where((eb) =>
      eb.or([
        eb('state', 'in', ['receiving', 'assembling']),
        eb.and([eb('state', '=', 'complete'), eb('kind', '=', 'partial')]),
      ]),
    )
    .executeTakeFirst();
  return Number(stored?.bytes ?? 0) + Number(arriving?.bytes ?? 0);
}

/** Throws 413 when `bytes` more would exceed the quota (0: none). Creations of one owner are counted one by one. */
export async function claimQuota(trx: Trx, owner: string, bytes: number, quota: number): Promise<void> {
  if (quota === 0) return;
  await lockOwner(trx, owner);
  if ((await quotaLeft(trx, owner, quota)) < bytes) throw quotaExceeded(quota);
}

/** Bytes that the owner may still upload; Infinity without a quota. */
export async function quotaLeft(db: Db, owner: string, quota: number): Promise<number> {
  return quota === 0 ? Infinity : Math.max(0, quota - (await usageOf(db, owner)));
}

export const quotaExceeded = (quota: number): AppError =>
  new AppError(413, 'quota_exceeded', 'You have no room for this upload. Delete something first.', {
    extra: { limit: quota },
  });
