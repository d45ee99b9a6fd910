/** The watch page in Chromium, on a real server. */
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { eventually, startServer, type TestServer } from '../server.ts';
import { inChromium, launchChromium } from './chromium.ts';
import { makeFilm, openFolder, openLoggedIn, pick, player } from './page.ts';

let browser: Browser;
let server: TestServer;
let folder: Awaited<ReturnType<typeof openFolder>>;
let film: string;

inChromium('the watch page', () => {
  beforeAll(async () => {
    folder = await openFolder();
    browser = await launchChromium();
    [server, film] = await Promise.all([
      startServer({ LADDER: '180,120' }),
      makeFilm(join(folder.path, 'film.mp4'), 4),
    ]);
  });

  afterAll(async () => {
    await browser?.close();
    await server?.dispose();
    await folder?.dispose();
  });

  it('waits for the encode, starts by itself, and changes the quality', async () => {
    const { page, context, problems } = await openLoggedIn(browser, server);
    await pick(page, film);
    const id = await eventually(async () => {
      const { items } = (await (await server.fetch('/api/media')).json()) as { items: { id: string }[] };
      return items[0]?.id;
    });
    await page.goto(`${server.url}/watch/${id}`);
    await eventually(async () => ((await player(page))?.currentTime ?? 0) > 0);
    await eventually(async () => {
      const { status } = (await (await server.fetch(`/api/media/${id}`)).json()) as { status: string };
      return status === 'ready';
    });
    // Who came early plays what was there then: the source's own picture.
    await page.reload();
    await eventually(async () => ((await player(page))?.readyState ?? 0) >= 2);
    await page.locator('media-settings-menu-button').click();
    await page.locator('media-settings-menu-item', { hasText: 'Quality' }).click();
    const menu = page.locator('media-rendition-menu');
    await menu.getByText('120p').click();
    expect(await menu.getAttribute('mediarenditionselected')).not.toBeNull();
    await page.keyboard.press('Escape');
    await page.locator('video').evaluate((video: { play(): Promise<void> }) => video.play());
    await eventually(async () => (await player(page))?.ended);
    expect(problems).toEqual([]);
    await context.close();
  }, 300_000);

  it('is for its owner, until it is shared', async () => {
    const { page, context } = await openLoggedIn(browser, server, '/admin');
    const path = (await page.locator('tbody a[href^="/watch/"]').first().getAttribute('href')) ?? '';
    const guest = await (await browser.newContext()).newPage();
    await guest.goto(server.url + path);
    await guest.waitForURL(/\/login\?next=/);
    await page.goto(server.url + path);
    const saved = page.waitForResponse((r) => r.request().method() === 'PATCH' && r.ok());
    await page.getByLabel('Who can watch this').selectOption('unlisted');
    await saved;
    await guest.goto(server.url + path);
    await eventually(async () => ((await player(guest))?.readyState ?? 0) >= 1);
    expect(await guest.getByRole('button', { name: 'Delete' }).count()).toBe(0);
    await guest.goto(`${server.url}/watch/nonsense`);
    await guest.waitForURL(/\/login\?next=|\/watch\/nonsense/);

    await page.getByRole('button', { name: 'Delete' }).click();
    await page.locator('dialog').getByRole('button', { name: 'Delete' }).click();
    await page.waitForURL(`${server.url}/`);
    await page.goto(server.url + path);
    await page.getByText('There is nothing here').waitFor();
    await guest.context().close();
    await context.close();
  }, 300_000);
});
