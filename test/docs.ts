/** What the documents show, for tests that run it as it stands there. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The first block of a language below a heading, or below a line that begins like this. */
export async function blockOf(document: string, below: string, language: string): Promise<string> {
  const text = await readFile(join(import.meta.dirname, '../docs', document), 'utf8');
  const start = text.indexOf(`\n${below}`);
  const [, block] = new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``).exec(text.slice(start)) ?? [];
  if (start < 0 || !block) throw new Error(`${document} has no block in ${language} below “${below}”`);
  return block;
}
