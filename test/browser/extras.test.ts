/** Previews, waveform and downloads on the watch page in Chromium. */
import { execa } from 'execa';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import sharp from 'sharp';
import { eventually, startServer, type TestServer } from '../server.ts';
import { inChromium, launchChromium } from './chromium.ts';
import { makeFilm, openFolder, openLoggedIn, pick, player } from './page.ts';

let browser: Browser;
let server: TestServer;
let folder: Awaited<ReturnType<typeof openFolder>>;

interface Track {
  mode: string;
  activeCues: Iterable<{ text: string }> | null;
}

interface Listed {
  id: string;
  status: string;
  title: string;
}

/** Uploads a file and opens its page when all is there. */
async function openReady(page: Page, file: string): Promise<void> {
  await page.goto(server.url);
  await pick(page, file);
  const id = await eventually(async () => {
    const { items } = (await (await server.fetch('/api/media')).json()) as { items: Listed[] };
    return items.find(({ title, status }) => status === 'ready' && file.includes(title))?.id;
  }, 300_000);
  await page.goto(`${server.url}/watch/${id}`);
  await eventually(async () => ((await player(page))?.readyState ?? 0) >= 2);
}

inChromium('what a media has beside its stream', () => {
  beforeAll(async () => {
    folder = await openFolder();
    browser = await launchChromium();
    server = await startServer({ LADDER: '180,120', DOWNLOAD_MP4: 'on', DOWNLOAD_M4A: 'on' });
  });

  afterAll(async () => {
    await browser?.close();
    await server?.dispose();
    await folder?.dispose();
  });

  it('shows small pictures of where the pointer is on the time line, and offers downloads', async () => {
    const { page, context, problems } = await openLoggedIn(browser, server);
    await openReady(page, await makeFilm(join(folder.path, 'film.mp4'), 8));
    const range = (await page.locator('media-time-range').boundingBox())!;
    const preview = page.locator('media-controller');
    for (const [part, tile] of [
      [0.3, 1],
      [0.9, 3],
    ] as const) {
      await page.mouse.move(range.x + range.width * part, range.y + range.height / 2);
      await eventually(
        async () => (await preview.getAttribute('mediapreviewcoords')) === `${tile * 214} 0 214 120`,
      );
    }
    const image = page.locator('media-preview-thumbnail img');
    await eventually(() => image.evaluate((img: { naturalWidth: number }) => img.naturalWidth === 4 * 214));

    const saved = page.waitForEvent('download');
    await page.locator('.downloads').getByText('Video').click();
    expect((await saved).suggestedFilename()).toBe('film.mp4');
    await page.locator('.downloads').getByText('Sound').waitFor();
    expect(problems).toEqual([]);
    await context.close();
  });

  it('shows subtitles when they are said, and changes the sound', async () => {
    const { page, context, problems } = await openLoggedIn(browser, server);
    const srt = join(folder.path, 'said.srt');
    await writeFile(srt, '1\n00:00:02,000 --> 00:00:04,000\n<i>Guten</i> <b>Tag\n');
    const said = join(folder.path, 'said.mkv');
    const film = await makeFilm(join(folder.path, 'silent.mp4'), 6);
    const tags = ['-metadata:s:a:1', 'language=ger', '-metadata:s:s:0', 'language=ger'];
    await execa('ffmpeg', [
      ...['-v', 'error', '-i', film, '-i', srt],
      ...['-map', '0:v', '-map', '0:a', '-map', '0:a', '-map', '1:s', '-c', 'copy', '-c:s', 'subrip'],
      ...[...tags, '-disposition:s:0', '0', said],
    ]);
    await openReady(page, said);
    await page.locator('media-settings-menu-button').click();
    await page.locator('media-settings-menu-item', { hasText: 'Subtitles' }).click();
    await page.locator('media-captions-menu').getByText('Deutsch').click();
    await page.keyboard.press('Escape');
    const sound = page.waitForRequest(/\/a1\/[^/]+\.m4s/);
    await page.locator('media-settings-menu-button').click();
    await page.locator('media-settings-menu-item', { hasText: 'Sound' }).click();
    await page.locator('media-audio-track-menu').getByText('Deutsch').click();
    await sound;
    await page.keyboard.press('Escape');
    const seek = (seconds: number) =>
      page.locator('video').evaluate((v: { currentTime: number }, to) => void (v.currentTime = to), seconds);
    const shown = () =>
      page
        .locator('video')
        .evaluate((v: { textTracks: Iterable<Track> }) =>
          [...v.textTracks]
            .flatMap((t) => (t.mode === 'showing' ? [...(t.activeCues ?? [])] : []))
            .map((c) => c.text.replace(/<[^>]+>/g, '')),
        );
    for (const [seconds, text] of [
      [2.2, ['Guten Tag']],
      [1.8, []],
      [3.8, ['Guten Tag']],
      [4.2, []],
    ] as const) {
      await seek(seconds);
      await eventually(async () => JSON.stringify(await shown()) === JSON.stringify(text));
    }
    expect(problems).toEqual([]);
    await context.close();
  });

  it('dims a cover behind the controls of a sound', async () => {
    const { page, context } = await openLoggedIn(browser, server);
    const song = join(folder.path, 'song.mp3');
    const inputs = ['-f', 'lavfi', '-i', 'sine=d=3', '-f', 'lavfi', '-i', 'color=white:s=640x360:d=1'];
    const cover = [
      '-map',
      '0',
      '-map',
      '1',
      '-frames:v',
      '1',
      '-c:v',
      'mjpeg',
      '-disposition:v',
      'attached_pic',
    ];
    await execa('ffmpeg', ['-v', 'error', ...inputs, ...cover, song]);
    await openReady(page, song);
    await page.locator('.player.sound video[poster]').waitFor();
    const brightness = async (): Promise<number> => {
      const image = sharp(await page.locator('.player').screenshot());
      const { width = 0 } = await image.metadata();
      // In the middle, above the waveform.
      const region = { left: Math.round(width / 2), top: 4, width: 4, height: 4 };
      return (await image.extract(region).stats()).channels[1]!.mean;
    };
    // The player itself is at 37; white letters have a contrast of 4.5 : 1 up to 118.
    await eventually(async () => (await brightness()) > 60, 20_000);
    expect(await brightness()).toBeLessThan(118);
    await context.close();
  });

  it('draws the waveform of a sound, which seeks', async () => {
    const { page, context, problems } = await openLoggedIn(browser, server);
    const sound = join(folder.path, 'speech.flac');
    await execa('ffmpeg', ['-v', 'error', '-f', 'lavfi', '-i', 'aevalsrc=sin(2000*t)*sin(t):d=9', sound]);
    await openReady(page, sound);
    const shape = page.locator('.waveform');
    await shape.locator('svg.played path').waitFor();
    const box = (await shape.locator('svg.played').boundingBox())!;
    await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
    await eventually(async () => Math.abs(((await player(page))?.currentTime ?? 0) - 4.5) < 0.1);
    await eventually(async () =>
      shape.evaluate(
        (e: { style: { getPropertyValue(name: string): string } }) =>
          Math.abs(parseFloat(e.style.getPropertyValue('--played')) - 50) < 1,
      ),
    );
    expect(problems).toEqual([]);
    await context.close();
  });
});
