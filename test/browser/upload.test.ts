/** The upload page in Chromium, on a real server. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { eventually, startServer, type TestServer } from '../server.ts';
import { uploadBytes } from '../tus.ts';
import { inChromium, launchChromium } from './chromium.ts';
import {
  makeFilm,
  openFolder,
  openLoggedIn,
  pick,
  openNetwork,
  player,
  storedNames,
  watchWords,
} from './page.ts';

interface Media {
  id: string;
  status: string;
  upload: { offset: number; length: number };
}

let browser: Browser;
let server: TestServer;
let folder: Awaited<ReturnType<typeof openFolder>>;
let film: string;
let large: string;

inChromium('the upload page', () => {
  beforeAll(async () => {
    folder = await openFolder();
    browser = await launchChromium();
    [server, film, large] = await Promise.all([
      startServer({ KEEP_COPY: 'off' }), // there is something to encode
      makeFilm(join(folder.path, 'film.mp4'), 6),
      makeFilm(join(folder.path, 'large.mp4'), 2, 3_000_000),
    ]);
  });

  afterAll(async () => {
    await browser?.close();
    await server?.dispose();
    await folder?.dispose();
  });

  async function list(): Promise<Media[]> {
    const response = await server.fetch('/api/media');
    return ((await response.json()) as { items: Media[] }).items;
  }

  const newest = async (): Promise<Media | undefined> => (await list())[0];

  /** A page whose upload of the large film goes on slowly, until `network` says otherwise, and has come past `offset`. */
  async function openSlowly(offset: number) {
    const opened = await openLoggedIn(browser, server);
    const network = await openNetwork(opened.page);
    await network({ bytesPerSecond: 200_000 });
    await pick(opened.page, large);
    const media = await eventually(async () => {
      const found = await newest();
      return found?.status === 'uploading' && found.upload.offset > offset && found;
    });
    return { ...opened, network, media };
  }

  it('uploads a film, shows its progress, and plays it to the end', async () => {
    const { page, context, problems } = await openLoggedIn(browser, server);
    expect(new URL(page.url()).search).toBe(''); // the key is out of the address
    await page.getByText('Nothing here yet').waitFor();
    const seen = await watchWords(page, '.row .badge, .row .steps li');
    await pick(page, film);
    const row = page.locator('.row', { hasText: 'film' });
    await row.locator('.badge', { hasText: 'Ready' }).waitFor({ timeout: 120_000 });
    expect(await seen()).toEqual(
      expect.arrayContaining(['Uploading', 'Processing', 'Check', 'Encode', 'Ready']),
    );
    await row.locator('img').waitFor();

    await row.getByRole('link', { name: 'Watch' }).click();
    await eventually(async () => ((await player(page))?.readyState ?? 0) >= 2);
    await page.keyboard.press('k');
    const { currentTime, duration } = await eventually(async () => {
      const at = await player(page);
      return at?.ended && at;
    });
    expect(duration).toBeGreaterThan(5.9);
    expect(duration).toBeLessThan(6.2);
    expect(Math.abs(currentTime - duration)).toBeLessThan(0.1);
    expect(await page.locator('.told').count()).toBe(0);
    expect(problems).toEqual([]);
    await context.close();
  });

  it('says why a file could not be made playable', async () => {
    const text = join(folder.path, 'notes.txt');
    await writeFile(text, 'These are notes, not a film.\n'.repeat(50));
    const { page, context, problems } = await openLoggedIn(browser, server);
    await pick(page, text);
    const row = page.locator('.row', { hasText: 'notes' });
    await row.locator('.badge', { hasText: 'Failed' }).waitFor({ timeout: 120_000 });
    const sentence = await row.locator('.row-error').textContent();
    const media = (await newest()) as Media & { error: { message: string } };
    expect(media.status).toBe('failed');
    expect(sentence).toBe(media.error.message);
    // The same words would be no film the next time.
    await row.getByRole('button', { name: 'Delete' }).waitFor();
    expect(await row.getByRole('button', { name: 'Try again' }).count()).toBe(0);
    expect(problems).toEqual([]);
    await context.close();
  });

  it('shows the latest media, and older ones when they are asked for', async () => {
    const before = (await list()).length;
    for (let n = before; n < 23; n++)
      await uploadBytes(server, Buffer.from('words'), { filename: `${n}.txt` });
    const { page, context } = await openLoggedIn(browser, server);
    const rows = page.locator('.rows > li');
    await eventually(async () => (await rows.count()) === 20);
    await page.getByRole('button', { name: 'Load more' }).click();
    await eventually(async () => (await rows.count()) === 23);
    await page.getByRole('button', { name: 'Load more' }).waitFor({ state: 'hidden' });
    await context.close();
  });

  it('cancels on the server too', async () => {
    const { page, context, problems, media } = await openSlowly(0);
    await page.locator('.row', { hasText: 'large' }).getByRole('button', { name: 'Cancel' }).click();
    await eventually(async () => (await list()).find(({ id }) => id === media.id)?.status === 'cancelled');
    const head = await server.fetch(`/files/${media.id}`, {
      method: 'HEAD',
      headers: { 'tus-resumable': '1.0.0' },
    });
    expect([404, 410]).toContain(head.status);
    await page.locator('.row', { hasText: 'large' }).locator('.badge', { hasText: 'Cancelled' }).waitFor();
    expect(await storedNames(context)).toEqual([]);
    expect(problems).toEqual([]);
    await context.close();
  });

  it('goes on after a reload in the middle, from the byte where it stopped', async () => {
    const { page, context, network, media: before } = await openSlowly(400_000);
    const count = (await list()).length;
    await page.reload();
    const banner = page.locator('.resume', { hasText: 'Resume this upload?' });
    await banner.getByText('large.mp4').waitFor();
    await network({});
    const offsets: number[] = [];
    page.on('request', (request) => {
      if (request.method() === 'PATCH') offsets.push(Number(request.headers()['upload-offset']));
    });
    await banner.getByRole('button', { name: 'Resume', exact: true }).click();
    await eventually(async () => {
      const found = (await list()).find(({ id }) => id === before.id);
      return found && !['uploading', 'processing'].includes(found.status);
    });
    expect((await list()).length).toBe(count);
    expect(offsets[0]).toBeGreaterThan(400_000);
    await page
      .locator('.row', { hasText: 'large' })
      .first()
      .locator('.badge', { hasText: /Ready|Playable/ })
      .waitFor();
    await banner.waitFor({ state: 'detached' });
    await context.close();
  });

  it('keeps the stored upload through server errors, and drops it when it is gone', async () => {
    const { page, context, media } = await openSlowly(100_000);
    await page.reload();
    const banner = page.locator('.resume');
    await banner.waitFor();
    const stored = async (): Promise<number> =>
      (await storedNames(context)).filter((name) => name.startsWith('millrace:upload:')).length;
    let refused = 0;
    let created = 0;
    page.on(
      'request',
      (request) =>
        void (request.method() === 'POST' && new URL(request.url()).pathname === '/files' && created++),
    );
    await page.route('**/files/*', async (route) => {
      if (route.request().method() !== 'HEAD' || refused >= 3) return route.continue();
      refused++;
      await route.fulfill({ status: refused === 2 ? 409 : 503 });
    });
    await banner.getByRole('button', { name: 'Resume' }).click();
    await eventually(async () => refused >= 3);
    expect(await stored()).toBe(1);
    expect(created).toBe(0);
    await eventually(async () => (await list()).find(({ id }) => id === media.id)?.status !== 'uploading');
    expect(created).toBe(0);
    await eventually(async () => (await stored()) === 0);
    await context.close();
  });

  it('waits while offline and goes on when the network is back', async () => {
    const { page, context, network, media } = await openSlowly(100_000);
    await network({ offline: true });
    const row = page.locator('.row', { hasText: 'large' }).first();
    await row.locator('.badge', { hasText: 'Waiting for the connection' }).waitFor();
    await network({});
    await eventually(async () => (await list()).find(({ id }) => id === media.id)?.status !== 'uploading');
    await context.close();
  });

  it('takes the same file again when the browser did not keep it, and no other', async () => {
    const { page, context, media } = await openSlowly(100_000);
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.locator('.row .badge', { hasText: 'Paused' }).waitFor();
    // What a larger file leaves behind: its address, but not its bytes.
    const stored = await context.storageState();
    await context.close();
    const later = await browser.newContext({ storageState: stored });
    const again = await later.newPage();
    await again.goto(server.url);
    const banner = again.locator('.resume');
    await banner.getByRole('button', { name: 'Choose the file' }).waitFor();
    await banner.locator('input').setInputFiles(film);
    await again.getByText('That is not the same file').waitFor();
    await banner.locator('input').setInputFiles(large);
    await banner.waitFor({ state: 'detached' });
    await eventually(async () => (await list()).find(({ id }) => id === media.id)?.status === 'ready');
    expect(await storedNames(later)).toEqual([]);
    await later.close();
  });

  it('makes one media when the answer to its creation is lost', async () => {
    const { page, context } = await openLoggedIn(browser, server);
    const count = (await list()).length;
    let lost = 0;
    await page.route('**/files', async (route) => {
      if (route.request().method() !== 'POST' || lost) return route.continue();
      lost++;
      await route.fetch();
      await route.abort('connectionreset');
    });
    await pick(page, film);
    const media = await eventually(async () => {
      const found = await newest();
      return found?.status === 'ready' && (await list()).length > count && found;
    });
    expect(lost).toBe(1);
    expect((await list()).length).toBe(count + 1);
    expect(media.upload.offset).toBe(media.upload.length);
    await context.close();
  });
});
