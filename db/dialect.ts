/**
 * All differences between SQLite and PostgreSQL. Nothing else in the project asks which one it runs on.
 */
import {
  CamelCasePlugin,
  Kysely,
  PostgresAdapter,
  PostgresDialect,
  sql,
  type Dialect,
  type RawBuilder,
  type Transaction,
  type TransactionBuilder,
} from 'kysely';
import { postgresPool } from './postgres-pool.ts';
import type { Schema } from './schema.ts';
import { FORGETTABLE, sqliteDialect } from './sqlite-dialect.ts';
import { writeAheadLog, type WriteAheadLog } from './write-ahead-log.ts';

/** A connection pool or a transaction: what a query function takes. */
export type Db = Kysely<Schema>;
/** A transaction: what a function takes that must commit together with its caller's changes. */
export type Trx = Transaction<Schema>;

export interface DatabaseOptions {
  /** postgres:// URL. Absent: SQLite. */
  url?: string | undefined;
  /** SQLite file, or ':memory:'. */
  file: string;
  /** PostgreSQL connections, at most. */
  poolSize?: number;
  /** Milliseconds that PostgreSQL may take for a statement before its connection is given up. Default 30,000. */
  answerMs?: number;
  /** Told when PostgreSQL has no more connections, and how many there are to make do with. */
  onShortage?: (connections: number) => void;
}

/** Opens (and for SQLite creates) the database. Runs no migration. */
export function openDatabase(options: DatabaseOptions): Db {
  const log = options.url || options.file === ':memory:' ? undefined : writeAheadLog(`${options.file}-wal`);
  const dialect = options.url ? postgres(options.url, options) : sqliteDialect(options.file, log);
  const db = new Kysely<Schema>({ dialect, plugins: [new CamelCasePlugin()] });
  if (log) logs.set(db, log);
  return db;
}

/** True on PostgreSQL; works on a pool and inside a transaction. */
export function isPostgres(db: Db): boolean {
  return db.getExecutor().adapter instanceof PostgresAdapter;
}

/** Row lock of a `SELECT` that picks work: rows other workers hold are skipped. SQLite has one writer, so none is needed. */
export function skipLocked(db: Db): RawBuilder<unknown> {
  return isPostgres(db) ? sql`for update skip locked` : sql``;
}

/**
 * PostgreSQL's advisory lock that makes a transaction the only one that appends events until it commits, so that ids
 * become visible in order. (SQLite has one writer anyway.) Taken last: it must not be held while waiting for rows.
 */
export const EVENT_LOCK = 7305126;

/**
 * A transaction. `durable: false` on SQLite: its commit doesn't wait for the disk. It survives a crash of ours, and is
 * atomic as ever; a power cut may forget it, with all that came after it. A durable commit makes all before it durable.
 * (PostgreSQL is told nothing: `synchronous_commit` is its administrator's.)
 */
export function transactionOf(db: Db, durable: boolean): TransactionBuilder<Schema> {
  const transaction = db.transaction();
  return durable || isPostgres(db) ? transaction : transaction.setIsolationLevel(FORGETTABLE);
}

/**
 * Resolves when all that was committed before the call, by any process and durable or not, survives a power cut. The
 * process goes on meanwhile: a durable commit on SQLite blocks it for as long as the disk takes.
 */
export async function flushed(db: Db): Promise<void> {
  await logs.get(db)?.flush();
}

const logs = new WeakMap<Db, WriteAheadLog>();

/**
 * For the start. After a power cut SQLite may have forgotten events that somebody was told of, and would give their ids
 * to others: whoever asks for what came after them would miss those. So ids go on far behind. PostgreSQL forgets none.
 */
export async function skipEventIds(db: Db): Promise<void> {
  if (!isPostgres(db))
    await sql`update sqlite_sequence set seq = seq + 10000 where name = 'event'`.execute(db);
}

/** Makes this transaction the only one that counts what this owner has, until it commits. */
export async function lockOwner(trx: Trx, owner: string): Promise<void> {
  if (isPostgres(trx)) await sql`select pg_advisory_xact_lock(7305127, hashtext(${owner}))`.execute(trx);
}

/** Makes this transaction the only one that counts what the disk was promised to take, until it commits. */
export async function lockDisk(trx: Db): Promise<void> {
  if (isPostgres(trx)) await sql`select pg_advisory_xact_lock(7305128)`.execute(trx);
}

/** SQLSTATE / SQLite codes of a unique or primary-key violation. */
export function isUniqueViolation(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return (
    code === '23505' || (typeof code === 'string' && /^SQLITE_CONSTRAINT_(UNIQUE|PRIMARYKEY)$/.test(code))
  );
}

/** Longer than any statement of a running server takes, and shorter than clients and proxies wait for an answer. */
const ANSWER_MS = 30_000;

function postgres(
  url: string,
  { poolSize = 10, answerMs = ANSWER_MS, onShortage }: Partial<DatabaseOptions>,
): Dialect {
  return new PostgresDialect({ pool: postgresPool({ url, size: poolSize, answerMs, onShortage }) });
}
