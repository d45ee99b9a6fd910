/** The watch page in Chromium, on a real server. */
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { makeMedia } from '../media.ts';
import { eventually, startServer, type TestServer } from '../server.ts';
import { uploadFile } from '../tus.ts';
import { inChromium, launchChromium } from './chromium.ts';
import { makeFilm, openFolder, openLoggedIn, pick, player } from './page.ts';
import { record } from './watching.ts';

let browser: Browser;
let server: TestServer;
let folder: Awaited<ReturnType<typeof openFolder>>;
let film: string;

/** Seconds between what the video has loaded. */
const longestHole = (page: Page): Promise<number> =>
  page.evaluate(`{
    const { buffered } = document.querySelector('video');
    let longest = 0;
    for (let n = 1; n < buffered.length; n++)
      longest = Math.max(longest, buffered.start(n) - buffered.end(n - 1));
    longest;
  }`);

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
    // Who came early plays what was there then; so short a film is over before better renditions would be seen.
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
  });

  it('switches between the source’s own picture and a rung below it without a gap', async () => {
    const file = await makeMedia('kept.mp4', [
      ...['-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=25:duration=24'],
      ...['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000:duration=24'],
      ...['-c:v', 'libx264', '-preset', 'veryfast', '-pix_fmt', 'yuv420p', '-g', '55', '-bf', '0'],
      ...['-b:v', '400k', '-maxrate', '400k', '-bufsize', '400k', '-c:a', 'aac', '-ac', '2'],
    ]);
    const id = await uploadFile(server, file);
    await rm(dirname(file), { recursive: true });
    await eventually(async () => {
      const media = (await (await server.fetch(`/api/media/${id}`)).json()) as { status: string };
      return media.status === 'ready';
    }, 240_000);
    const { page, context, problems } = await openLoggedIn(browser, server, `/watch/${id}`);
    const outputs = new Map<string, string>();
    page.on('request', (request) => {
      const [, output = '', height = ''] = /\/hls\/([^/]+)\/v(\d+)\/[^/]+\.m4s/.exec(request.url()) ?? [];
      if (output) outputs.set(height, output);
    });
    await eventually(async () => ((await player(page))?.readyState ?? 0) >= 2);
    const watched = await record(page);
    await page.locator('video').evaluate((video: { play(): Promise<void> }) => video.play());
    // As the menu does.
    const choose = (index: number): Promise<void> =>
      page.evaluate(`document.querySelector('video').videoRenditions.selectedIndex = ${index}`);
    for (const [index, heights] of [
      [0, [180, 120]],
      [1, [180, 120, 180]],
      [0, [180, 120, 180, 120]],
    ] as const) {
      await choose(index);
      await eventually(async () => (await watched()).heights.length >= heights.length);
      expect((await watched()).heights).toEqual(heights);
    }
    expect(await watched()).toMatchObject({ back: 0, emptied: 0 });
    // What was loaded ahead is loaded anew, which leaves a hole for a moment. Where a segment begins amid one of the other rendition,
    // up to three pictures before it go, as they were made from one that it replaced (Media Source Extensions, 3.5.9).
    await eventually(async () => (await longestHole(page)) < 3.1 / 25);
    expect((await watched()).forward).toBeLessThan(0.3);
    // One of each output: the copy is the upper one.
    expect(new Set(outputs.values()).size).toBe(2);
    expect(problems).toEqual([]);
    await context.close();
  });

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
  });
});
