import { Migrator } from 'kysely';
import type { Db } from './dialect.ts';
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
