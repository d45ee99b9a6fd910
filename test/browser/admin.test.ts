/** The admin and login pages in Chromium, on a real server. */
import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';
import type { Browser } from 'playwright-core';
import { startServer, type TestServer } from '../server.ts';
import { inChromium, launchChromium } from './chromium.ts';
import { openFolder, openLoggedIn, pick } from './page.ts';

let browser: Browser;
let server: TestServer;
let folder: Awaited<ReturnType<typeof openFolder>>;
let notes: string;

inChromium('the admin and login pages', () => {
  beforeAll(async () => {
    folder = await openFolder();
    notes = join(folder.path, 'notes.txt');
    await writeFile(notes, 'These are notes, not a film.\n'.repeat(50));
    browser = await launchChromium();
    server = await startServer();
  });

  afterAll(async () => {
    await browser?.close();
    await server?.dispose();
    await folder?.dispose();
  });

  it('updates its tables while somebody uploads', async () => {
    const { page: admin, context, problems } = await openLoggedIn(browser, server, '/admin');
    await admin.getByText('No media yet').waitFor();
    const jobs = await context.newPage();
    await jobs.goto(`${server.url}/admin?tab=jobs`);
    await jobs.getByText('No jobs yet').waitFor();
    const upload = await openLoggedIn(browser, server);
    await pick(upload.page, notes);

    const row = admin.locator('tbody tr', { hasText: 'notes' });
    await row.locator('.badge', { hasText: 'Failed' }).waitFor();
    await row.getByRole('button', { name: 'Retry' }).waitFor();
    const job = jobs.locator('tbody tr', { hasText: 'probe' }).first();
    await job.locator('.badge', { hasText: 'Failed' }).waitFor();
    await job.getByRole('button', { name: /Details/ }).click();
    await jobs.locator('.drawer').getByText('Attempts').waitFor();
    expect(new URL(jobs.url()).searchParams.get('job')).toBe(await job.getAttribute('data-id'));
    await jobs.keyboard.press('Escape');
    await jobs.waitForURL((url) => !url.searchParams.has('job'));
    expect(problems).toEqual([]);
    await upload.context.close();
    await context.close();
  });

  it('keeps filters in the address', async () => {
    const { page, context } = await openLoggedIn(browser, server, '/admin?status=ready');
    await page.getByText('No media like that').waitFor();
    await page.getByLabel('Status').selectOption('failed');
    await page.locator('tbody tr', { hasText: 'notes' }).waitFor();
    await page.waitForURL((url) => url.search === '?status=failed');
    await page.getByLabel('Search').fill('nothing of the sort');
    await page.getByText('No media like that').waitFor();
    await page.reload();
    expect(await page.getByLabel('Search').inputValue()).toBe('nothing of the sort');
    await context.close();
  });

  it('makes a key, shows it once, and the key logs in until it is revoked', async () => {
    const { page, context } = await openLoggedIn(browser, server, '/admin?tab=keys');
    await page.getByLabel('Name').fill('Editors');
    await page.getByLabel('Owner').fill('editors');
    await page.getByRole('button', { name: 'Create a key' }).click();
    const key = (await page.locator('code.key').textContent()) ?? '';
    expect(key.length).toBeGreaterThan(20);
    await page.reload();
    await page.locator('tbody tr', { hasText: 'Editors' }).waitFor();
    expect(await page.content()).not.toContain(key);

    const editor = await (await browser.newContext()).newPage();
    await editor.goto(`${server.url}/admin`);
    await editor.getByLabel('Key').fill('wrong');
    await editor.getByRole('button', { name: 'Log in' }).click();
    await editor.getByText('not known here').waitFor();
    await editor.getByLabel('Key').fill(key);
    await editor.getByRole('button', { name: 'Log in' }).click();
    await editor.getByText('You see what belongs to editors').waitFor();
    await editor.getByText('No media yet').waitFor();
    expect(await editor.getByRole('link', { name: 'API keys' }).count()).toBe(0);

    await page.locator('tbody tr', { hasText: 'Editors' }).getByRole('button', { name: 'Revoke' }).click();
    await page.locator('dialog').getByRole('button', { name: 'Revoke' }).click();
    await page.locator('tbody tr', { hasText: 'Editors' }).waitFor({ state: 'detached' });
    await editor.reload();
    await editor.waitForURL(/\/login/);
    await editor.context().close();
    await context.close();
  });

  it('logs out', async () => {
    const { page, context } = await openLoggedIn(browser, server);
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.waitForURL(/\/login/);
    await page.goto(server.url);
    await page.waitForURL(/\/login/);
    await context.close();
  });

  it('comes back by way of the login when the session ends while a page loads', async () => {
    const { page, context } = await openLoggedIn(browser, server, '/login');
    await page.route('**/api/media?*', async (route) => {
      await context.clearCookies();
      await route.continue();
    });
    await page.goto(server.url);
    await page.waitForURL(/\/login/);
    await context.close();
  });
});
