/**
 * How much an owner may keep. QUOTA_PER_OWNER bounds its sources and what its unfinished uploads were announced to be,
 * UPLOADS_PER_OWNER the number of the latter. Answered before bytes are taken, with 413 and 429: tus clients would try
 * a 5xx again at once, and waiting frees nothing before uploads end. (Uppy alone tries again after a 429, more slowly.)
 */
import { sql } from 'kysely';
import { lockOwner, type Db, type Trx } from '../../db/dialect.ts';
import type { Principal } from '../auth/principal.ts';
import type { Config } from '../config.ts';
import { AppError } from '../errors.ts';

/** Bytes are coming, or came and belong to nothing yet. Word for word the condition of the index upload_unfinished. */
export const UNFINISHED = sql<boolean>`("state" in ('receiving', 'assembling') or ("state" = 'complete' and "kind" = 'partial'))`;

/** What an owner has. A final upload is counted by its partials as long as it has them. */
export interface Usage {
  owner: string;
  /** Bytes of sources. */
  stored: number;
  /** Bytes that unfinished uploads were announced to have; of those that did not say, what arrived. */
  arriving: number;
  /** Number of unfinished uploads. */
  unfinished: number;
}

export async function usageOf(db: Db, owner: string): Promise<Usage> {
  const [usage] = await usageRows(db, { owner });
  return usage ?? { owner, stored: 0, arriving: 0, unfinished: 0 };
}

/** By owner, in the order of their names, from behind `after` on; owners without uploads are left out. */
export const usageOfAll = (db: Db, { after, limit }: { after: string; limit: number }): Promise<Usage[]> =>
  usageRows(db, { after, limit });

async function usageRows(
  db: Db,
  { owner, after, limit }: { owner?: string; after?: string; limit?: number },
): Promise<Usage[]> {
  let query = db
    .selectFrom('upload')
    .leftJoin('media', 'media.id', 'upload.mediaId')
    .select([
      'upload.owner',
      sum(
        sql`upload.state = 'complete' and upload.kind <> 'partial' and media.deleted_at is null and media.source_key is not null`,
        sql`upload.length`,
      ).as('stored'),
      sum(ARRIVING, sql`coalesce(upload.length, upload.offset)`).as('arriving'),
      sum(ARRIVING, sql`1`).as('unfinished'),
    ])
    .groupBy('upload.owner')
    .orderBy('upload.owner');
  if (owner !== undefined) query = query.where('upload.owner', '=', owner);
  if (after !== undefined) query = query.where('upload.owner', '>', after);
  if (limit !== undefined) query = query.limit(limit);
  const rows = await query.execute();
  return rows.map((row) => ({
    owner: row.owner,
    stored: Number(row.stored),
    arriving: Number(row.arriving),
    unfinished: Number(row.unfinished),
  }));
}

const ARRIVING = sql`upload.kind <> 'final' and (upload.state in ('receiving', 'assembling') or (upload.state = 'complete' and upload.kind = 'partial'))`;

/** PostgreSQL says it as a string. */
const sum = (where: ReturnType<typeof sql>, value: ReturnType<typeof sql>) =>
  sql<number | string>`sum(case when ${where} then ${value} else 0 end)`;

/** Bytes an owner may have, 0: any. A token may say so for its own user, instead of QUOTA_PER_OWNER. */
export const quotaFor = (
  owner: string,
  principal: Principal | undefined,
  { quota }: Config['uploads'],
): number => (principal?.owner === owner ? (principal.quota ?? quota) : quota);

/** Throws 413 and 429 when one more upload of `bytes` would be too much. Creations of one owner are counted one by one. */
export async function claimQuota(
  trx: Trx,
  owner: string,
  bytes: number,
  { quota, unfinished }: { quota: number; unfinished: number },
): Promise<void> {
  if (quota === 0 && unfinished === 0) return;
  await lockOwner(trx, owner);
  if (unfinished > 0 && (await hasUnfinished(trx, owner, unfinished))) throw tooManyUploads(unfinished);
  if ((await quotaLeft(trx, owner, quota)) < bytes) throw quotaExceeded(quota);
}

/** The owner has so many unfinished uploads, or more. */
async function hasUnfinished(db: Db, owner: string, count: number): Promise<boolean> {
  const last = await db
    .selectFrom('upload')
    .select('id')
    .where('owner', '=', owner)
    .where(UNFINISHED)
    .where('kind', '!=', 'final')
    .limit(1)
    .offset(count - 1)
    .executeTakeFirst();
  return last !== undefined;
}

/** Bytes that the owner may still upload; Infinity without a quota. */
export async function quotaLeft(db: Db, owner: string, quota: number): Promise<number> {
  if (quota === 0) return Infinity;
  const { stored, arriving } = await usageOf(db, owner);
  return Math.max(0, quota - stored - arriving);
}

export const quotaExceeded = (quota: number): AppError =>
  new AppError(413, 'quota_exceeded', 'You have no room for this upload. Delete something first.', {
    extra: { limit: quota },
  });

const tooManyUploads = (limit: number): AppError =>
  new AppError(
    429,
    'too_many_uploads',
    `You have ${limit} unfinished uploads. Finish or cancel some first.`,
    {
      extra: { limit },
      headers: { 'Retry-After': '60' },
    },
  );
