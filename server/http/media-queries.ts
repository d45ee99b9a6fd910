/** Reads and plain edits of media on behalf of a principal. */
import { sql } from 'kysely';
import type { Db } from '../../db/dialect.ts';
import type { MediaRow } from '../../db/schema.ts';
import { transact } from '../../db/transaction.ts';
import { owns, type Principal } from '../auth/principal.ts';
import { notFound } from '../errors.ts';
import { emit } from '../events/events.ts';
import type { MediaStatus } from '../media/media.ts';

export const VISIBILITIES = ['private', 'unlisted', 'public'] as const;
export type Visibility = (typeof VISIBILITIES)[number];

export interface MediaFilter {
  owner?: string | undefined;
  status?: MediaStatus[] | undefined;
  /** Part of the title or the file's name. */
  q?: string | undefined;
  cursor?: string | undefined;
  limit: number;
}

/** A media that exists, whoever owns it; undefined when it was deleted. */
export async function mediaById(db: Db, id: string): Promise<MediaRow | undefined> {
  return db
    .selectFrom('media')
    .selectAll()
    .where('id', '=', id)
    .where('deletedAt', 'is', null)
    .executeTakeFirst();
}

/** A media of the principal's own (admins: any). AppError 404 otherwise, also when somebody else owns it. */
export async function ownMedia(db: Db, principal: Principal, id: string): Promise<MediaRow> {
  const row = await mediaById(db, id);
  if (!row || !owns(principal, row.owner)) throw notFound('No media');
  return row;
}

/** Newest first; one row more than `limit` when there is another page. */
export async function listMedia(db: Db, filter: MediaFilter): Promise<MediaRow[]> {
  let query = db
    .selectFrom('media')
    .selectAll()
    .where('deletedAt', 'is', null)
    .orderBy('id', 'desc')
    .limit(filter.limit + 1);
  if (filter.owner !== undefined) query = query.where('owner', '=', filter.owner);
  if (filter.status) query = query.where('status', 'in', filter.status);
  if (filter.cursor !== undefined) query = query.where('id', '<', filter.cursor);
  if (filter.q !== undefined) {
    const pattern = `%${filter.q.replace(/[\\%_]/g, '\\$&')}%`;
    query = query.where((e) => e.or([contains('title', pattern), contains('filename', pattern)]));
  }
  return query.execute();
}

/** Case-insensitive; on PostgreSQL as far as the locale of its database goes. */
const contains = (column: 'title' | 'filename', pattern: string) =>
  sql<boolean>`lower(${sql.ref(column)}) like lower(${pattern}) escape '\\'`;

/** Changes what its owner may change; undefined when it was deleted meanwhile. */
export async function editMedia(
  db: Db,
  id: string,
  changes: { title?: string | undefined; visibility?: Visibility | undefined },
): Promise<MediaRow | undefined> {
  return transact(db, async (trx) => {
    const row = await trx
      .updateTable('media')
      .set({ ...changes, updatedAt: Date.now() })
      .where('id', '=', id)
      .where('deletedAt', 'is', null)
      .returningAll()
      .executeTakeFirst();
    if (row)
      emit(trx, {
        type: 'media.updated',
        owner: row.owner,
        mediaId: row.id,
        payload: { title: row.title, visibility: row.visibility },
      });
    return row;
  });
}
