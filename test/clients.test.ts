/** The blocks of README.md, docs/clients.md and docs/api.md that can run here, as they stand there, against a real server. */
import { execa } from 'execa';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { blockOf } from './docs.ts';
import { startServer, type TestServer } from './server.ts';
import { mediaIdOf } from './tus.ts';

const ROOT = join(import.meta.dirname, '..');
const bytes = randomBytes(3_000_000);
let server: TestServer;
let folder: string;

beforeAll(async () => {
  server = await startServer();
  // Below the checkout, so that Node finds the packages.
  await mkdir(join(ROOT, 'node_modules/.cache'), { recursive: true });
  folder = await mkdtemp(join(ROOT, 'node_modules/.cache/clients-'));
  for (const name of ['holiday.mp4', 'film.mp4']) await writeFile(join(folder, name), bytes);
});
afterAll(async () => {
  await server?.dispose();
  if (folder) await rm(folder, { recursive: true });
});

it.each([
  { section: 'curl', language: 'sh', program: 'sh' },
  { section: 'The IETF’s draft behind a proxy', language: 'sh', program: 'sh' },
  { section: 'tus-js-client', language: 'js', program: process.execPath },
])('docs/clients.md: $section', async ({ section, language, program }) => {
  const file = join(folder, `${section}.${language === 'js' ? 'mjs' : language}`);
  await writeFile(file, await blockOf('clients.md', `## ${section}\n`, language));
  const { stdout } = await execa(program, [file], {
    env: { MILLRACE: server.url, KEY: server.adminKey, FILE: join(folder, 'holiday.mp4') },
  });
  await expectStored(stdout.trim());
});

it.each([
  { document: '../README.md', below: 'With curl' },
  { document: 'api.md', below: '## Uploads\n' },
])('$document: $below', async ({ document, below }) => {
  const block = await blockOf(document, below, 'sh');
  // The address and the key are those of the reader; the feed of events has no end.
  const script = block.replace(/^export .*$/m, '').replace(/^curl -N .*$/m, '');
  const { stdout } = await execa('sh', ['-c', `set -e\n${script}\necho\necho "$URL"`], {
    cwd: folder,
    env: { MILLRACE: server.url, KEY: server.adminKey },
  });
  await expectStored(stdout.split('\n').at(-1) ?? '');
});

async function expectStored(uploadUrl: string): Promise<void> {
  const answer = await server.fetch(`/media/${mediaIdOf(uploadUrl)}/source`);
  expect(answer.status).toBe(200);
  expect(sum(Buffer.from(await answer.arrayBuffer()))).toBe(sum(bytes));
}

const sum = (of: Buffer): string => createHash('sha256').update(of).digest('hex');
