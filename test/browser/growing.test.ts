/**
 * Watching in Chromium with hls.js while it is encoded, to the end: who opens the page early sees the better renditions
 * when they are there, without a reload and without a break.
 */
import { rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { makeMedia } from '../media.ts';
import { eventually, startServer, type TestServer } from '../server.ts';
import { slowFfmpeg, type SlowFfmpeg } from '../slow-ffmpeg.ts';
import { uploadFile } from '../tus.ts';
import { inChromium, launchChromium } from './chromium.ts';
import { openFolder, openLoggedIn, player } from './page.ts';
import { record } from './watching.ts';

const SECONDS = 34;
let browser: Browser;
let ffmpeg: SlowFfmpeg;
let server: TestServer;
let folder: Awaited<ReturnType<typeof openFolder>>;
let words: string;

inChromium('a film that is watched while it is encoded', () => {
  beforeAll(async () => {
    folder = await openFolder();
    words = join(folder.path, 'words.srt');
    await writeFile(words, `1\n00:00:01,000 --> 00:00:${SECONDS - 1},000\nHello\n`);
    ffmpeg = await slowFfmpeg(6);
    browser = await launchChromium();
    server = await startServer({
      ...ffmpeg.env,
      ...{ LADDER: '540,240', X264_PRESET: 'ultrafast', STORYBOARD: 'off', WAVEFORM: 'off' },
    });
  });

  afterAll(async () => {
    await browser?.close();
    await server?.dispose();
    await ffmpeg?.dispose();
    await folder?.dispose();
  });

  const film = (rate: number, ...encoded: string[]): Promise<string> =>
    makeMedia('film.mkv', [
      ...['-f', 'lavfi', '-i', `testsrc2=size=960x540:rate=${rate}:duration=${SECONDS}`],
      ...['-f', 'lavfi', '-i', `sine=frequency=440:sample_rate=48000:duration=${SECONDS}`],
      ...['-i', words, '-map', '0', '-map', '1', '-map', '2', '-metadata:s:s:0', 'language=eng'],
      ...[...encoded, '-c:s', 'srt'],
    ]);

  /** Opens its page as soon as there is a stream, and stays until it has ended. The picture has these heights in turn. */
  async function watch(file: string, heights: number[]): Promise<void> {
    const id = await uploadFile(server, file);
    const { page, context, problems } = await openLoggedIn(browser, server, `/watch/${id}`);
    const outputs = outputsShown(page);
    await eventually(async () => ((await player(page))?.currentTime ?? 0) > 0);
    const watched = await record(page);
    // However slow this machine is: the film is not over before its last renditions are there.
    await set(page, 'volume = 0.4; video.playbackRate = 0.2');
    await page.locator('media-fullscreen-button').click();
    const subtitles = "[...video.textTracks].find((track) => track.kind === 'subtitles')";
    await eventually(() =>
      set(page, `dataset.subtitles = !!${subtitles} && (${subtitles}.mode = 'showing')`),
    );
    await eventually(async () => {
      const media = (await (await server.fetch(`/api/media/${id}`)).json()) as { status: string };
      return media.status === 'ready';
    }, 240_000);
    // From here on nothing but the network could keep it waiting.
    const before = (await watched()).waits.length;
    await eventually(() => Promise.resolve(outputs.size > 1), 120_000);
    const loaded = 'buffered.end(video.buffered.length - 1) > video.duration - 1';
    await eventually(
      () => page.evaluate(`((video) => video.${loaded})(document.querySelector('video'))`),
      120_000,
    );
    await set(page, 'playbackRate = 2');
    const { currentTime, duration } = await eventually(async () => {
      const at = await player(page);
      return at?.ended && at;
    }, 240_000);
    expect(Math.abs(duration - SECONDS)).toBeLessThan(0.2);
    expect(Math.abs(currentTime - duration)).toBeLessThan(0.2);
    const { forward, waits, ...seen } = await watched();
    const kept = { volume: 0.4, subtitles: ['English'], fullscreen: true };
    expect(seen).toEqual({ back: 0, emptied: 0, heights, ...kept });
    expect(waits.slice(before)).toEqual([]);
    expect(forward).toBeLessThan(0.3);
    expect(outputs.size).toBe(2);
    expect(await page.locator('.told').count()).toBe(0);
    expect(problems).toEqual([]);
    await context.close();
    await rm(dirname(file), { recursive: true });
  }

  /** Sets something of `video`. */
  const set = (page: Page, what: string): Promise<unknown> =>
    page.evaluate(`{ const video = document.querySelector('video'); video.${what}; }`);

  /** The outputs whose pictures the page has asked for, so far. */
  it('asks for the next segment before it is there', async () => {
    const id = await uploadFile(server, await film(30, '-c:v', 'mpeg4', '-c:a', 'libopus'));
    const { page, context } = await openLoggedIn(browser, server);
    const [request] = await Promise.all([
      page.waitForRequest(/\/v\d+\/index\.m3u8\?.*_HLS_msn=\d/),
      page.goto(`${server.url}/watch/${id}`),
    ]);
    expect((await request.response())?.status()).toBe(200);
    await context.close();
  });

  function outputsShown(page: Page): Set<string> {
    const outputs = new Set<string>();
    page.on('request', (request) => {
      const [, output] = /\/hls\/([^/]+)\/v\d+\/[^/]+\.m4s/.exec(request.url()) ?? [];
      if (output) outputs.add(output);
    });
    return outputs;
  }

  it('goes on from the lowest rung to the highest', async () => {
    await watch(await film(60, '-c:v', 'mpeg4', '-b:v', '2M', '-c:a', 'libopus'), [240, 540]);
  }, 600_000);

  it('goes on from the copy to the ladder', async () => {
    // Without B-frames: its decode times are not those of the ladder.
    const h264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-g', '250', '-pix_fmt', 'yuv420p'];
    await watch(await film(25, ...h264, '-c:a', 'aac', '-ac', '2'), [540]);
  }, 600_000);
});
