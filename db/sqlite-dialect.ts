/** SQLite as Kysely's dialect: transactions that begin as writers, commits that need not wait for the disk, statements that are kept. */
import type { Database } from 'better-sqlite3';
import {
  CompiledQuery,
  SqliteAdapter,
  SqliteDialect,
  SqliteDriver,
  type DatabaseConnection,
  type Dialect,
  type DialectAdapter,
  type Driver,
  type SqliteDatabase as SqliteHandle,
  type SqliteDialectConfig,
  type SqliteStatement,
  type TransactionSettings,
} from 'kysely';
import { SqliteDatabase } from './sqlite-driver.ts';
import type { WriteAheadLog } from './write-ahead-log.ts';

/** The isolation level of a transaction that a power cut may forget. SQLite has none, so this one carries our wish to the driver. */
export const FORGETTABLE = 'read uncommitted';

/** Opens (and creates) a database in a file, or ':memory:'. It closes `log` after it. */
export function sqliteDialect(file: string, log: WriteAheadLog | undefined): Dialect {
  const database = new SqliteDatabase(file, { timeout: 10_000 });
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = FULL'); // an acknowledged byte must survive a power cut, and so must its row
  database.pragma('foreign_keys = ON');
  // SQLite's own knows ASCII only: a search for “übung” would not find “Übung”.
  database.function('lower', { deterministic: true }, (text: unknown) =>
    typeof text === 'string' ? text.toLowerCase() : text,
  );
  const config: ImmediateSqliteConfig = {
    database: withStatementCache(database),
    inTransaction: () => database.inTransaction,
    setSynchronous: (level) => void database.pragma(`synchronous = ${level}`),
  };
  return new ImmediateSqliteDialect(config, log);
}

interface ImmediateSqliteConfig extends SqliteDialectConfig {
  inTransaction(): boolean;
  /** `full`: a commit waits for the disk. */
  setSynchronous(level: 'full' | 'normal'): void;
}

/**
 * Starts transactions with BEGIN IMMEDIATE. A deferred transaction that reads first and writes later
 * fails with SQLITE_BUSY at once when another process wrote in between; an immediate one waits its turn.
 */
class ImmediateSqliteDialect extends SqliteDialect {
  readonly #config: ImmediateSqliteConfig;
  readonly #log: WriteAheadLog | undefined;
  constructor(config: ImmediateSqliteConfig, log: WriteAheadLog | undefined) {
    super(config);
    this.#config = config;
    this.#log = log;
  }
  override createDriver(): Driver {
    return new ImmediateSqliteDriver(this.#config, this.#log);
  }
  override createAdapter(): DialectAdapter {
    return new TransactionalSqliteAdapter();
  }
}

/**
 * SQLite's DDL is transactional. Saying so makes Kysely run migrations in a transaction, which processes that
 * start together take one after the other: its lock for migrations does nothing on SQLite.
 */
class TransactionalSqliteAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

const BEGIN = CompiledQuery.raw('begin immediate');

/** What nothing is written by, and so nothing has to wait for the disk. */
const WRITES_NOTHING = /^\s*(select|begin)\b/i;

class ImmediateSqliteDriver extends SqliteDriver {
  readonly #config: ImmediateSqliteConfig;
  readonly #log: WriteAheadLog | undefined;
  #connection: DatabaseConnection | undefined;
  /** Commits wait for the disk. */
  #waits = true;
  constructor(config: ImmediateSqliteConfig, log: WriteAheadLog | undefined) {
    super(config);
    this.#config = config;
    this.#log = log;
  }
  override async destroy(): Promise<void> {
    await super.destroy();
    await this.#log?.close();
  }
  override async acquireConnection(): Promise<DatabaseConnection> {
    const connection = await super.acquireConnection();
    return (this.#connection ??= this.#durable(connection));
  }
  override async beginTransaction(
    connection: DatabaseConnection,
    settings?: TransactionSettings,
  ): Promise<void> {
    this.#setWaits(settings?.isolationLevel !== FORGETTABLE);
    await connection.executeQuery(BEGIN);
  }
  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    // At a full or failing disk SQLite has done it already, and a second one would fail in place of what went wrong.
    if (this.#config.inTransaction()) await super.rollbackTransaction(connection);
  }
  /** Single statements outside of a transaction are durable. */
  #durable(connection: DatabaseConnection): DatabaseConnection {
    return {
      executeQuery: (query) => {
        if (!this.#config.inTransaction() && !WRITES_NOTHING.test(query.sql)) this.#setWaits(true);
        return connection.executeQuery(query);
      },
      streamQuery: (query, size) => connection.streamQuery(query, size),
    };
  }
  /** Only when it changes: SQLite compiles the pragma each time, and an upload's transactions follow each other. */
  #setWaits(waits: boolean): void {
    if (waits === this.#waits) return;
    this.#config.setSynchronous(waits ? 'full' : 'normal');
    this.#waits = waits;
  }
}

/** Compiling a statement takes longer than running it. SQLite compiles a kept one again when the schema changed. */
function withStatementCache(database: Database): SqliteHandle {
  const kept = new Map<string, SqliteStatement>();
  return {
    close: () => void database.close(),
    prepare(text) {
      const found = kept.get(text) ?? database.prepare(text);
      kept.delete(text);
      kept.set(text, found); // the newest last
      const oldest = kept.size > KEPT_STATEMENTS ? kept.keys().next().value : undefined;
      if (oldest !== undefined) kept.delete(oldest);
      return found;
    },
  };
}

/** More than all statements of the project; lists of values of any length make more. */
const KEPT_STATEMENTS = 500;
