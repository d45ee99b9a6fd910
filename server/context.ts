/** Everything a running Millrace shares, opened in order and disposed in reverse. */
import { access, constants, mkdir } from 'node:fs/promises';
import { openDatabase, skipEventIds, type Db } from '../db/dialect.ts';
import { migrateAt } from '../db/migrate.ts';
import { loadSecret } from './auth/secret.ts';
import type { Config } from './config.ts';
import { messageOf } from './errors.ts';
import { openStorage } from './storage/index.ts';
import type { Storage } from './storage/storage.ts';
import type { Logger, Telemetry } from './telemetry.ts';
import { whenThere } from './waiting.ts';

export interface Context {
  config: Config;
  db: Db;
  storage: Storage;
  logger: Logger;
  telemetry: Telemetry;
  /** Signs sessions and playback URLs. From SESSION_SECRET, or made once and kept in the database. */
  secret: Uint8Array;
}

/** Opens database (migrated) and storage, waiting for both. Throws when one of them can't be used, with the reason. */
export async function createContext(config: Config, telemetry: Telemetry): Promise<Context> {
  await openDataDir(config.dataDir);
  const onShortage = (connections: number): void =>
    telemetry.logger.warn(
      { connections },
      'PostgreSQL gives no more connections: lower DATABASE_POOL, or raise max_connections',
    );
  const db = openDatabase({ ...config.database, onShortage });
  const storage = openStorage(config);
  try {
    const waiting = { logger: telemetry.logger, patienceMs: config.startPatienceMs };
    const applied = await whenThere('the database', () => migrateAt(config.database), waiting);
    await skipEventIds(db);
    if (applied.length) telemetry.logger.info(`database migrated: ${applied.join(', ')}`);
    await whenThere('storage', () => storage.check(), waiting);
    const secret = await loadSecret(db, config.auth.sessionSecret);
    return { config, db, storage, logger: telemetry.logger, telemetry, secret };
  } catch (error) {
    storage.close();
    await db.destroy();
    throw error;
  }
}

/** Makes the folder, and sees that it can be written: SQLite's own words for that name no folder. */
async function openDataDir(dataDir: string): Promise<void> {
  try {
    await mkdir(dataDir, { recursive: true });
    await access(dataDir, constants.W_OK);
  } catch (error) {
    const reason = `DATA_DIR is ${dataDir}, where nothing can be written (${messageOf(error)})`;
    throw new Error(`${reason}. Give this user the folder, or set DATA_DIR to another one.`, {
      cause: error,
    });
  }
}

/** Closes what createContext opened, in reverse. */
export async function disposeContext(ctx: Context): Promise<void> {
  ctx.storage.close();
  await ctx.db.destroy();
}
