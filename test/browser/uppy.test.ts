/** The block for Uppy in docs/clients.md, as it stands there, on a page of another origin in Chromium. */
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { blockOf } from '../docs.ts';
import { eventually, startServer, type TestServer } from '../server.ts';
import { s3Environment, startS3 } from '../services/s3.ts';
import { inChromium, launchChromium } from './chromium.ts';
import { makeFilm, openFolder } from './page.ts';

const ENDPOINT = "endpoint: 'https://media.example.org/files',";
let browser: Browser;
let folder: Awaited<ReturnType<typeof openFolder>>;
let film: string;

inChromium('Uppy', () => {
  beforeAll(async () => {
    folder = await openFolder();
    [browser, film] = await Promise.all([
      launchChromium(),
      makeFilm(join(folder.path, 'holiday.mp4'), 2, 7_000_000),
    ]);
  });
  afterAll(async () => {
    await browser?.close();
    await folder?.dispose();
  });

  it.each([
    ['disk', 'one request', ''],
    ['disk', 'parallel parts', 'parallelUploads: 4,'],
    ['s3', 'parallel parts', 'parallelUploads: 4,'],
  ])(
    'uploads to %s in %s',
    async (storage, _how, more) => {
      const server = await startServer(storage === 's3' ? { ...s3Environment(await startS3()) } : {});
      const origin = await serve(await pageOf(server, more));
      try {
        const page = await browser.newPage();
        await page.goto(`http://localhost:${(origin.address() as AddressInfo).port}/`);
        await page.locator('input[type=file]').first().setInputFiles(film);
        await page.locator('.uppy-StatusBar-actionBtn--upload').click();
        await page.locator('.uppy-StatusBar.is-complete').waitFor({ timeout: 90_000 });
        const { items } = (await (await server.fetch('/api/media')).json()) as { items: { id: string }[] };
        expect(items).toHaveLength(1);
        const source = await eventually(async () => {
          const answer = await server.fetch(`/media/${items[0]?.id}/source`);
          return answer.ok && Buffer.from(await answer.arrayBuffer());
        });
        expect(sum(source)).toBe(sum(await readFile(film)));
        await page.close();
      } finally {
        origin.closeAllConnections();
        origin.close();
        await server.dispose();
      }
    },
    240_000,
  );
});

/** The block in a page, for a server of ours. */
async function pageOf(server: TestServer, more: string): Promise<string> {
  const block = await blockOf('clients.md', '## Uppy\n', 'js');
  expect(block).toContain(ENDPOINT);
  const contents = block.replace(ENDPOINT, `endpoint: '${server.url}/files', ${more}`);
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: import.meta.dirname },
    define: { token: JSON.stringify(server.adminKey) },
    ...{ bundle: true, write: false, format: 'esm', logLevel: 'error' },
  });
  const script = outputFiles[0]?.text.replaceAll('</script', '<\\/script') ?? '';
  return `<!doctype html><meta charset="utf-8"><div id="uppy"></div><script type="module">${script}</script>`;
}

async function serve(html: string): Promise<Server> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/html' }).end(html);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

const sum = (of: Buffer): string => createHash('sha256').update(of).digest('hex');
