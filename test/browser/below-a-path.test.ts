/** The pages below a path of a host, behind a proxy that takes the path off: a real server in Chromium. */
import { createServer, request, type Server } from 'node:http';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { freePort } from '../ports.ts';
import { eventually, startServer, type TestServer } from '../server.ts';
import { inChromium, launchChromium } from './chromium.ts';
import { makeFilm, openFolder, openLoggedIn, pick, player } from './page.ts';

/** One that is also the beginning of our own addresses, with what means something in HTML and in replacements. */
const PATH = '/media/$&';

let browser: Browser;
let server: TestServer;
let proxy: Server;
let folder: Awaited<ReturnType<typeof openFolder>>;
/** What was asked for beside the path: there is somebody else's site. */
const strays: string[] = [];

inChromium('the pages below a path', () => {
  beforeAll(async () => {
    folder = await openFolder();
    browser = await launchChromium();
    const port = await freePort();
    server = await startServer({ PUBLIC_URL: `http://127.0.0.1:${port}${PATH}` });
    proxy = await startProxy(port, new URL(server.url).port);
  });

  afterAll(async () => {
    await browser?.close();
    proxy?.closeAllConnections();
    proxy?.close();
    await server?.dispose();
    await folder?.dispose();
  });

  it('upload, play, list, log out and in again, and ask for nothing beside it', async () => {
    const film = await makeFilm(join(folder.path, 'film.mp4'), 3);
    const { port } = proxy.address() as { port: number };
    const url = `http://127.0.0.1:${port}${PATH}`;
    const { page, context, problems } = await openLoggedIn(browser, { ...server, url });
    expect(page.url()).toBe(`${url}/`);
    await pick(page, film);
    await page.locator('.badge', { hasText: 'Ready' }).first().waitFor();

    await page.getByRole('link', { name: 'Watch' }).first().click();
    await page.waitForURL(`${url}/watch/*`);
    await eventually(async () => ((await player(page))?.readyState ?? 0) >= 2);

    await page.getByRole('link', { name: 'Admin' }).click();
    await page.waitForURL(`${url}/admin`);
    await page.locator('tbody tr', { hasText: 'film' }).waitFor();
    expect(await page.locator('.site-nav [aria-current=page]').textContent()).toBe('Admin');

    expect(problems).toEqual([]);
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.waitForURL(`${url}/login`);
    await page.goto(`${url}/admin?tab=jobs`);
    await page.waitForURL((now) => now.pathname === `${PATH}/login`);
    await page.getByLabel('Key').fill(server.adminKey);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.waitForURL(`${url}/admin?tab=jobs`);
    await page.locator('tbody tr', { hasText: 'probe' }).waitFor();
    expect((await context.cookies()).map(({ path }) => path)).toEqual([`${PATH}/`]);
    expect(strays).toEqual([]);
    await context.close();
  });
});

async function startProxy(port: number, target: string): Promise<Server> {
  const made = createServer((req, res) => {
    if (!req.url?.startsWith(`${PATH}/`)) {
      strays.push(req.url ?? '');
      res.writeHead(404).end();
      return;
    }
    const path = req.url.slice(PATH.length);
    const onward = request({
      host: '127.0.0.1',
      port: target,
      path,
      method: req.method,
      headers: req.headers,
    });
    onward.on('response', (answer) => {
      res.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(res);
    });
    onward.on('error', () => res.destroy());
    res.on('close', () => onward.destroy());
    req.pipe(onward);
  });
  made.listen(port, '127.0.0.1');
  await once(made, 'listening');
  return made;
}
