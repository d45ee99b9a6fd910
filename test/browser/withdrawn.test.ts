/** Watching in Chromium what is withdrawn meanwhile: the page waits, and goes on where it was with what comes in its place. */
import { readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Browser } from 'playwright-core';
import { makeMedia } from '../media.ts';
import { eventually, startServer, type TestServer } from '../server.ts';
import { begin, renditions, trickle } from '../system/sending.ts';
import { inChromium, launchChromium } from './chromium.ts';
import { openLoggedIn, player } from './page.ts';

const SECONDS = 20;

inChromium('an output that is withdrawn while somebody watches it', () => {
  let browser: Browser;
  let server: TestServer;
  let bytes: Buffer;
  beforeAll(async () => {
    const film = await makeMedia('film.mp4', [
      // Noise makes it large without making it long.
      ...['-f', 'lavfi', '-i', `testsrc2=size=320x180:rate=25:duration=${SECONDS},noise=alls=60:allf=t`],
      ...['-f', 'lavfi', '-i', `sine=frequency=440:sample_rate=48000:duration=${SECONDS}`],
      ...['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-g', '50', '-b:v', '4M'],
      ...['-c:a', 'aac', '-ac', '2', '-movflags', '+faststart'],
    ]);
    bytes = await readFile(film);
    await rm(dirname(film), { recursive: true });
    browser = await launchChromium();
    server = await startServer({
      ...{ EARLY_MIN_SIZE: '2MB', EARLY_IDLE_TIMEOUT: '12s', LADDER: '144', X264_PRESET: 'ultrafast' },
      ...{ STORYBOARD: 'off', WAVEFORM: 'off', DISK_FLOOR: '0' },
    });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.dispose();
  });

  it.each(['its owner', 'anybody'])(
    'goes on at the same place for %s, when the rest of an upload comes late',
    async (who) => {
      const sending = await begin([server], bytes, { watchWhileUploading: 'true' });
      await sending.to(0.85);
      await eventually(async () => renditions(server, sending.id));
      const { page, context, problems } = await trickle(sending, async () => {
        const opened = await openLoggedIn(browser, server, '/', /\b40[14]\b/);
        await opened.page.goto('about:blank'); // what the page before still asks would be refused
        if (who === 'anybody') await opened.context.clearCookies();
        await opened.page.goto(`${server.url}/watch/${sending.id}`);
        await eventually(async () => ((await player(opened.page))?.readyState ?? 0) >= 2);
        return opened;
      });
      // Nothing comes any more, so what there is of it is withdrawn; the page has no more than it has loaded.
      await eventually(async () => (await renditions(server, sending.id)) === undefined);
      await page.evaluate(`{
        const video = document.querySelector('video');
        video.muted = true;
        video.currentTime = 12;
        video.playbackRate = 1.5;
        void video.play().catch(() => undefined); // interrupted when it begins anew
      }`);
      await page.getByText('It goes on by itself').waitFor();
      const { currentTime: before } = (await player(page))!;
      expect(before).toBeGreaterThan(11);

      await sending.to(1);
      await page.getByText('It goes on by itself').waitFor({ state: 'detached', timeout: 120_000 });
      await eventually(async () => ((await player(page))?.readyState ?? 0) >= 2);
      const { currentTime: after } = (await player(page))!;
      expect(after).toBeGreaterThanOrEqual(before - 0.5);
      const { currentTime: end } = await eventually(async () => {
        const at = await player(page);
        return at?.ended && at;
      });
      expect(Math.abs(end - SECONDS)).toBeLessThan(0.3);
      expect(
        await page.locator('video').evaluate((video: { playbackRate: number }) => video.playbackRate),
      ).toBe(1.5);
      expect(await page.locator('.told').count()).toBe(0);
      expect(problems).toEqual([]);
      await context.close();
    },
    300_000,
  );
});
