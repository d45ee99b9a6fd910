/** Where the tables of benches are kept: pages of docs/, between two marks. */
import { readFile, writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';

/** When and on what something was measured. */
export const machine = (): string =>
  `${new Date().toISOString().slice(0, 10)}, ${cpus().length} × ${cpus()[0]?.model.trim() ?? 'CPU'}, ` +
  `${Math.round(totalmem() / 1024 ** 3)} GiB, Node ${process.version}`;

/** Puts `text` between `<!-- mark -->` and `<!-- /mark -->` of a page. Throws when the page has no such place. */
export async function publish(page: string, mark: string, text: string): Promise<void> {
  const path = join(import.meta.dirname, '../docs', page);
  const old = await readFile(path, 'utf8');
  const [before, after] = [old.indexOf(`<!-- ${mark} -->`), old.indexOf(`<!-- /${mark} -->`)];
  if (before < 0 || after < before) throw new Error(`${path} has no place for ${mark}`);
  await writeFile(path, `${old.slice(0, before)}<!-- ${mark} -->\n\n${text}\n\n${old.slice(after)}`);
}
