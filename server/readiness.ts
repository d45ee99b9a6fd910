/** What /readyz asks: can this process do its work now? */
import { sql } from 'kysely';
import type { Context } from './context.ts';
import { messageOf } from './errors.ts';
import { checkFfmpeg } from './pipeline/index.ts';

export interface Check {
  name: string;
  ok: boolean;
  /** A fact when it is well (a version, free bytes), the reason when it is not. */
  detail?: string;
}

/** Runs every check at once; never throws. Each gives up after five seconds. */
export type Readiness = () => Promise<Check[]>;

const PATIENCE_MS = 5_000;

export function createReadiness(ctx: Context): Readiness {
  const checks: Record<string, () => Promise<string | undefined>> = {
    database: async () => void (await sql`select 1`.execute(ctx.db)),
    storage: async () => void (await ctx.storage.check()),
    disk: () => freeDisk(ctx),
    ...(ctx.config.role === 'server' ? {} : { ffmpeg: () => checkFfmpeg(ctx) }),
  };
  return () => Promise.all(Object.entries(checks).map(([name, check]) => run(name, check)));
}

async function run(name: string, check: () => Promise<string | undefined>): Promise<Check> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer within 5 seconds')), PATIENCE_MS);
  });
  try {
    const detail = await Promise.race([check(), late]);
    return { name, ok: true, ...(detail ? { detail } : {}) };
  } catch (error) {
    return { name, ok: false, detail: messageOf(error) };
  } finally {
    clearTimeout(timer);
  }
}

async function freeDisk(ctx: Context): Promise<string | undefined> {
  const free = await ctx.storage.freeBytes();
  if (free === undefined) return undefined;
  if (free < ctx.config.uploads.diskFloor) throw new Error(`${free} bytes free, below DISK_FLOOR`);
  return `${free} bytes free`;
}
