/**
 * SQLite's driver for this Node: better-sqlite3 speaks Node-API 10 since version 13 (Node 22.14). On Node 20 it is version 12,
 * which must not run on later ones: compiled against the headers of Node 24.19 it aborts the process (Node issue 65446).
 */
import type Driver from 'better-sqlite3';

export const SqliteDatabase = await load(
  Number(process.versions.napi) >= 10 ? 'better-sqlite3' : 'better-sqlite3-12',
);

/** Both versions have the same interface. */
async function load(name: string): Promise<typeof Driver> {
  try {
    return ((await import(name)) as { default: typeof Driver }).default;
  } catch (cause) {
    const message =
      `${name} can not be loaded. For Node ${process.versions.node} it has to be compiled: install python3, make and g++ ` +
      'and run npm ci once more, or take Node 22.14 or later.';
    throw new Error(message, { cause });
  }
}
