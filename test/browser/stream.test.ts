/** The watch page with a video at Stream: another origin, reached by redirects, within the page's policy. */
import { join } from 'node:path';
import { execa } from 'execa';
import type { Browser } from 'playwright-core';
import { freePort } from '../ports.ts';
import { eventually, startServer, type TestServer } from '../server.ts';
import { ACCOUNT, startStandIn, TOKEN, type StandIn } from '../stand-ins/stream/server.ts';
import { uploadBytes } from '../tus.ts';
import { inChromium, launchChromium } from './chromium.ts';
import { makeFilm, openFolder, openLoggedIn, player } from './page.ts';

inChromium('the watch page of a video at Stream', () => {
  let browser: Browser;
  let server: TestServer;
  let standIn: StandIn;
  let folder: Awaited<ReturnType<typeof openFolder>>;

  beforeAll(async () => {
    folder = await openFolder();
    const port = await freePort();
    const origin = `http://127.0.0.1:${port}`;
    const webhook = { url: `${origin}/webhooks/cloudflare`, secret: 'a secret of the webhook' };
    standIn = await startStandIn({ webhook });
    const film = await makeFilm(join(folder.path, 'film.mp4'), 4);
    await execa('ffmpeg', [
      ...['-v', 'error', '-i', film, '-c', 'copy', '-hls_time', '2', '-hls_playlist_type', 'vod'],
      join(folder.path, 'index.m3u8'),
    ]);
    await execa('ffmpeg', ['-v', 'error', '-i', film, '-frames:v', '1', join(folder.path, 'poster.jpg')]);
    standIn.world.film = folder.path;
    browser = await launchChromium();
    server = await startServer({
      ...{ PORT: String(port), PUBLIC_URL: origin, ENCODER: 'stream', STREAM_API_URL: standIn.url },
      ...{ STREAM_ACCOUNT_ID: ACCOUNT, STREAM_API_TOKEN: TOKEN, STREAM_WEBHOOK_SECRET: webhook.secret },
    });
  });

  afterAll(async () => {
    await browser?.close();
    await server?.dispose();
    await standIn?.close();
    await folder?.dispose();
  });

  it('plays it to its end, also when it can not be encoded here as well', async () => {
    const id = await uploadBytes(server, Buffer.from('a film'), { title: 'At Stream' });
    await eventually(async () => {
      const media = (await (await server.fetch(`/api/media/${id}`)).json()) as { status: string };
      return media.status === 'ready';
    });
    const { page, context, problems } = await openLoggedIn(browser, server, `/watch/${id}`);
    await eventually(async () => ((await player(page))?.readyState ?? 0) >= 2);
    await page.locator('media-play-button').first().click();
    await eventually(async () => ((await player(page))?.currentTime ?? 0) > 0);
    await eventually(async () => (await player(page))?.ended);
    expect(problems).toEqual([]);
    await context.close();

    // An admin asks for our own encode of what is no film: it goes on playing, and only its owner is told why.
    const admin = await openLoggedIn(browser, server, '/admin');
    await admin.page.getByRole('button', { name: 'Encode here' }).click();
    await admin.page.getByText('Only at Stream.').waitFor();
    expect(await admin.page.locator('.status-cell .badge').allInnerTexts()).toEqual(['Ready']);
    await server.fetch(`/api/media/${id}`, {
      method: 'PATCH',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ visibility: 'unlisted' }),
    });
    await admin.page.goto(`${server.url}/watch/${id}`);
    await admin.page.getByText('It plays from Cloudflare Stream').waitFor();
    await eventually(async () => ((await player(admin.page))?.readyState ?? 0) >= 2);
    const anybody = await browser.newPage();
    await anybody.goto(`${server.url}/watch/${id}`);
    await eventually(async () => ((await player(anybody))?.readyState ?? 0) >= 2);
    const seen = await anybody.locator('main').innerText();
    expect(seen).toContain('At Stream');
    expect(seen).not.toMatch(/encoded|not_media|Cloudflare/);
    await anybody.close();
    await admin.context.close();
  });
});
