/** A logged-in browser page on a real server, for the tests in this folder. */
import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import type { TestServer } from '../server.ts';

export interface OpenPage {
  page: Page;
  context: BrowserContext;
  /** Errors that the page logged or threw, those of `expected` excepted. */
  problems: string[];
}

/** Opens `path` in a browser of its own, logged in by the link that the server prints. */
export async function openLoggedIn(
  browser: Browser,
  server: TestServer,
  path = '/',
  expected?: RegExp,
): Promise<OpenPage> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const problems: string[] = [];
  const note = (text: string): void => void (expected?.test(text) || problems.push(text));
  page.on('pageerror', (error) => note(error.message));
  page.on('console', (message) => message.type() === 'error' && note(message.text()));
  await page.goto(`${server.url}/?key=${encodeURIComponent(server.adminKey)}`);
  if (path !== '/') await page.goto(server.url + path);
  return { page, context, problems };
}

/** A folder for made-up sources, deleted by `dispose`. */
export async function openFolder(): Promise<{ path: string; dispose(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'millrace-browser-'));
  return { path, dispose: () => rm(path, { recursive: true, force: true }) };
}

/** A small film with a tone; `padding` bytes in a `free` box at the end make it as large as a test needs. */
export async function makeFilm(file: string, seconds: number, padding = 0): Promise<string> {
  const size = '320x180';
  await execa('ffmpeg', [
    ...['-v', 'error', '-y'],
    ...['-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=25:duration=${seconds}`],
    ...['-f', 'lavfi', '-i', `sine=frequency=440:duration=${seconds}`],
    ...['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-c:a', 'aac', '-shortest'],
    ...['-movflags', '+faststart', file],
  ]);
  if (padding) await appendFree(file, padding);
  return file;
}

/** ISO/IEC 14496-12, 8.1.2: a free space box, which readers skip. */
async function appendFree(file: string, bytes: number): Promise<void> {
  const box = Buffer.alloc(bytes);
  box.writeUInt32BE(bytes, 0);
  box.write('free', 4, 'latin1');
  await appendFile(file, box);
}

/** Picks files as a person does with the drop area's file dialog. */
export async function pick(page: Page, ...files: string[]): Promise<void> {
  await page.locator('.drop-area input[type=file]').first().setInputFiles(files);
}

/** What the page's <video> is at; undefined while there is none. */
export async function player(page: Page): Promise<Player | undefined> {
  return page.locator('video').evaluateAll((videos: Player[]) => {
    const [video] = videos;
    if (!video) return undefined;
    const { currentTime, duration, readyState, ended } = video;
    return { currentTime, duration, readyState, ended };
  });
}

interface Player {
  currentTime: number;
  duration: number;
  /** 1: its duration is known; 2: it can show a picture. */
  readyState: number;
  ended: boolean;
}

/** Names of what the pages keep in localStorage. */
export async function storedNames(context: BrowserContext): Promise<string[]> {
  const { origins } = await context.storageState();
  return origins.flatMap(({ localStorage }) => localStorage.map(({ name }) => name));
}

/** A network that can be slow and go away. */
export async function openNetwork(
  page: Page,
): Promise<(state: { bytesPerSecond?: number; offline?: boolean }) => Promise<void>> {
  const session = await page.context().newCDPSession(page);
  await session.send('Network.enable');
  return async ({ bytesPerSecond = -1, offline = false }) => {
    const conditions = { offline, latency: 0, downloadThroughput: -1, uploadThroughput: bytesPerSecond };
    await session.send('Network.emulateNetworkConditions', conditions);
  };
}

/** Collects what elements said, however briefly: a test that looks now and then would miss it. */
export async function watchWords(page: Page, selector: string): Promise<() => Promise<string[]>> {
  await page.addInitScript(`
    globalThis.seenWords = [];
    const look = () => {
      for (const { textContent } of document.querySelectorAll('${selector}'))
        if (!seenWords.includes(textContent)) seenWords.push(textContent);
    };
    new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
  `);
  await page.reload();
  return () => page.evaluate(() => (globalThis as unknown as { seenWords: string[] }).seenWords);
}
