/** Both databases for tests: `describe.each(DIALECTS)('… on %s', (dialect) => …)`. */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CompiledQuery } from 'kysely';
import { openDatabase, type Db } from '../db/dialect.ts';
import { migrate } from '../db/migrate.ts';
import { newId } from '../server/ids.ts';
import { postgresUrl } from './services/postgres.ts';
import { oncePerRun, runDir } from './services/run.ts';

export const DIALECTS = ['sqlite', 'postgres'] as const;
export type DialectName = (typeof DIALECTS)[number];

export interface TestDatabase {
  dialect: DialectName;
  db: Db;
  /** DATABASE_URL of a second connection; undefined on SQLite. */
  url: string | undefined;
  /** `dir`/millrace.db: where a server whose DATA_DIR is `dir` has its SQLite file. */
  file: string;
  /** An empty folder (but for the SQLite file) of this test; deleted by `close`. */
  dir: string;
  /** Ends every connection and deletes the database. */
  close: () => Promise<void>;
}

/** A fresh database, migrated unless told otherwise. */
export async function openTestDatabase(
  dialect: DialectName,
  options: { migrated?: boolean; poolSize?: number } = {},
): Promise<TestDatabase> {
  const dir = await mkdtemp(join(await runDir(), 'data-'));
  const file = join(dir, 'millrace.db');
  const migrated = options.migrated ?? true;
  const template = dialect === 'postgres' && migrated ? await migratedTemplate() : undefined;
  const url = dialect === 'postgres' ? await createPostgres(template) : undefined;
  const db = openDatabase({ url, file, poolSize: options.poolSize ?? 5 });
  if (migrated && !template) await migrate(db);
  const close = async () => {
    await db.destroy();
    if (url) await asAdmin(`drop database if exists ${nameOf(url)} with (force)`);
    await rm(dir, { recursive: true, force: true });
  };
  return { dialect, db, url, file, dir, close };
}

async function createPostgres(template = 'template1'): Promise<string> {
  const url = new URL(await postgresUrl());
  url.pathname = `/millrace_${newId().replaceAll('-', '')}`;
  await asAdmin(`create database ${nameOf(url.href)} template ${template}`);
  return url.href;
}

/** The name of a database that is migrated once per run: to copy it takes less time. Only on a server that ends with the run. */
async function migratedTemplate(): Promise<string | undefined> {
  if (process.env['TEST_DATABASE_URL']) return undefined;
  return oncePerRun('template', async () => {
    const url = await createPostgres();
    const db = openDatabase({ url, file: '', poolSize: 1 });
    await migrate(db).finally(() => db.destroy());
    return nameOf(url);
  });
}

const nameOf = (url: string): string => new URL(url).pathname.slice(1);

async function asAdmin(command: string): Promise<void> {
  const db = openDatabase({ url: await postgresUrl(), file: '', poolSize: 1 });
  try {
    await db.executeQuery(CompiledQuery.raw(command));
  } finally {
    await db.destroy();
  }
}
