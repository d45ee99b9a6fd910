/** Appends to the feed, in the transaction of the change an event tells of. */
import { EVENT_LOCK, type Db, type Trx } from '../../db/dialect.ts';
import { statement, type Statement } from '../../db/statement.ts';
import type { EventRow } from '../../db/schema.ts';
import { beforeCommit, transact } from '../../db/transaction.ts';

export type EventType =
  | 'media.created'
  | 'media.updated'
  | 'media.status'
  | 'media.output'
  | 'media.deleted'
  | 'media.alert'
  | 'upload.progress'
  | 'job.status'
  | 'job.progress';

export interface NewEvent {
  type: EventType;
  owner: string | null;
  mediaId: string | null;
  jobId?: string | null;
  /** What changed; small. Clients that need more ask the API. */
  payload: Record<string, unknown>;
}

const buffers = new WeakMap<Trx, NewEvent[]>();

/**
 * Appends events to the feed when this transaction commits. They are written as its last statement:
 * on PostgreSQL that takes the lock that makes event ids visible in order, and no row may be waited
 * for while it is held. Only inside `transact`.
 */
export function emit(trx: Trx, ...events: NewEvent[]): void {
  if (!events.length) return;
  const buffer = buffers.get(trx) ?? [];
  buffer.push(...events);
  buffers.set(trx, buffer);
  beforeCommit(trx, emit, append);
}

/** Whether a transaction had more to tell than how far something is, which nobody but who watches it has anything to do for. */
export const hasNews = (trx: Trx): boolean =>
  buffers.get(trx)?.some(({ type }) => !type.endsWith('.progress')) ?? false;

const COLUMNS = 'type, owner, media_id, job_id, payload, created_at';
const VALUES = '(?, ?, ?, ?, ?, ?)';
/** Rows of one statement: more parameters than PostgreSQL's 65,535 or SQLite's 32,766 are never asked for. */
const AT_ONCE = 100;
const inserts = new Map<number, Statement<never>>();

/**
 * On PostgreSQL the same statement takes the lock that makes ids visible in order, before it takes an id: ids are
 * given to rows of the join, and there are none before the lock is held.
 */
function insertOf(count: number): Statement<never> {
  const rows = Array.from({ length: count }, () => VALUES).join(', ');
  const typed = `(?::text, ?::text, ?::text, ?::text, ?::text, ?::bigint)`;
  const made = statement<never>((postgres) =>
    postgres
      ? `with turn as materialized (select pg_advisory_xact_lock(${EVENT_LOCK}))
         insert into event (${COLUMNS})
         select news.* from turn, (values ${rows.replace(VALUES, typed)}) as news (${COLUMNS})`
      : `insert into event (${COLUMNS}) values ${rows}`,
  );
  inserts.set(count, made);
  return made;
}

async function append(trx: Trx): Promise<void> {
  const createdAt = Date.now();
  const events = buffers.get(trx) ?? [];
  for (let from = 0; from < events.length; from += AT_ONCE) {
    const page = events.slice(from, from + AT_ONCE);
    const values = page.flatMap((e) => [
      e.type,
      e.owner,
      e.mediaId,
      e.jobId ?? null,
      JSON.stringify(e.payload),
      createdAt,
    ]);
    await (inserts.get(page.length) ?? insertOf(page.length))(trx, ...values);
  }
}

export interface EventFilter {
  owner?: string | undefined;
  mediaId?: string | undefined;
}

/** Events after `afterId`, oldest first, `limit` at most. */
export async function eventsAfter(
  db: Db,
  afterId: number,
  filter: EventFilter,
  limit: number,
): Promise<EventRow[]> {
  let query = db.selectFrom('event').selectAll().where('id', '>', afterId).orderBy('id').limit(limit);
  if (filter.owner !== undefined) query = query.where('owner', '=', filter.owner);
  if (filter.mediaId !== undefined) query = query.where('mediaId', '=', filter.mediaId);
  return query.execute();
}

/** The newest event's id; 0 when there is none. */
export async function lastEventId(db: Db): Promise<number> {
  const row = await db.selectFrom('event').select('id').orderBy('id', 'desc').limit(1).executeTakeFirst();
  return row?.id ?? 0;
}

/** Rows of one transaction: nobody waits long for it. */
const PRUNED_AT_ONCE = 1_000;

/** Deletes events that happened before `time`: nobody replays that far back. Returns how many there were. */
export async function pruneEvents(db: Db, time: number): Promise<number> {
  for (let count = 0; ;) {
    const oldest = await db
      .selectFrom('event')
      .select(['id', 'createdAt'])
      .orderBy('id')
      .limit(PRUNED_AT_ONCE)
      .execute();
    const last = oldest.findLast(({ createdAt }) => createdAt < time);
    if (!last) return count;
    const { numDeletedRows } = await transact(
      db,
      (trx) => trx.deleteFrom('event').where('id', '<=', last.id).executeTakeFirstOrThrow(),
      { durable: false },
    );
    count += Number(numDeletedRows);
  }
}
