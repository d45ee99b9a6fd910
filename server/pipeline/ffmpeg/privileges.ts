/** A server that runs as root lets FFmpeg run as nobody, wherever nobody may read what it needs. */
import { chown, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** `nobody` of every Linux distribution; its group has the same number. */
const NOBODY = 65_534;
const READ = 0o004;
const SEARCH = 0o001;

/** Words for setpriv that leave root behind. */
export const AS_NOBODY = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];

/**
 * True when nobody can read the source and what lies in the scratch folder, and reach the scratch folder, whose folders are then given to nobody. Folders above
 * that are closed to others (`/root`, a DATA_DIR with mode 700) make it false: FFmpeg could do nothing then.
 */
export async function yieldTo(view: {
  source?: string | undefined;
  scratch?: string | undefined;
}): Promise<boolean> {
  if (
    view.source &&
    !((await isOpen(view.source, READ)) && (await isReachable(dirname(view.source), view.scratch)))
  )
    return false;
  if (!view.scratch) return true;
  if (!(await isReachable(dirname(view.scratch))) || !(await areOpen(view.scratch))) return false;
  await giveFolders(view.scratch);
  return true;
}

/** Every folder from here to the root can be passed through; `ours` will be nobody's. */
async function isReachable(folder: string, ours?: string): Promise<boolean> {
  if (folder !== ours && !(await isOpen(folder, SEARCH))) return false;
  const above = dirname(folder);
  return above === folder || isReachable(above);
}

/** What we have put there can be read by others: not where the umask forbids it. */
async function areOpen(folder: string): Promise<boolean> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && !(await areOpen(path))) return false;
    if (entry.isFile() && !(await isOpen(path, READ).catch(gone))) return false;
  }
  return true;
}

/** Another run had it removed meanwhile: nobody needs to read it. */
function gone(error: unknown): true {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  return true;
}

const isOpen = async (path: string, bit: number): Promise<boolean> => ((await stat(path)).mode & bit) !== 0;

/** Folders only: the files in them are read, and a source must not be written. */
async function giveFolders(folder: string): Promise<void> {
  await chown(folder, NOBODY, NOBODY);
  for (const entry of await readdir(folder, { withFileTypes: true }))
    if (entry.isDirectory()) await giveFolders(join(folder, entry.name));
}
