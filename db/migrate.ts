import { Migrator } from 'kysely';
import { openDatabase, type DatabaseOptions, type Db } from './dialect.ts';
import { migrations } from './migrations/index.ts';

/**
 * Brings the database to the newest schema; does nothing when it is there already. Processes that start
 * together wait for each other. Returns the names it applied.
 */
export async function migrate(db: Db): Promise<string[]> {
  const migrator = new Migrator({ db, provider: { getMigrations: () => Promise.resolve(migrations) } });
  const { error, results } = await migrator.migrateToLatest();
  if (error) throw error instanceof Error ? error : new Error('migration failed', { cause: error });
  return (results ?? []).filter((r) => r.status === 'Success').map((r) => r.migrationName);
}

/**
 * The same through a connection of its own, on which a statement may take as long as it likes: one that changes a large
 * table, or waits for another process that does.
 */
export async function migrateAt(options: DatabaseOptions): Promise<string[]> {
  const db = openDatabase({ ...options, poolSize: 1, answerMs: Infinity });
  return migrate(db).finally(() => db.destroy());
}
