/** Watching in Chromium with hls.js while it is encoded, through the end of the encode to the end of the film. */
import { join } from 'node:path';
import { execa } from 'execa';
import type { Browser } from 'playwright-core';
import { eventually, startServer, type TestServer } from '../server.ts';
import { slowFfmpeg, type SlowFfmpeg } from '../slow-ffmpeg.ts';
import { uploadFile } from '../tus.ts';
import { inChromium, launchChromium } from './chromium.ts';
import { makeFilm, openFolder, openLoggedIn, player } from './page.ts';

const SECONDS = 12;
let browser: Browser;
let ffmpeg: SlowFfmpeg;
let server: TestServer;
let folder: Awaited<ReturnType<typeof openFolder>>;

inChromium('a film that is watched while it is encoded', () => {
  beforeAll(async () => {
    folder = await openFolder();
    ffmpeg = await slowFfmpeg(1.5);
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

  const statusOf = async (id: string): Promise<string> =>
    ((await (await server.fetch(`/api/media/${id}`)).json()) as { status: string }).status;

  /** Opens its page as soon as there is a stream, and stays until it has ended. */
  async function watch(file: string): Promise<void> {
    const id = await uploadFile(server, file);
    const { page, context, problems } = await openLoggedIn(browser, server, `/watch/${id}`);
    await eventually(async () => ((await player(page))?.currentTime ?? 0) > 0);
    const { currentTime, duration } = await eventually(async () => {
      const at = await player(page);
      return at?.ended && at;
    }, 240_000);
    expect(Math.abs(duration - SECONDS)).toBeLessThan(0.2);
    expect(Math.abs(currentTime - duration)).toBeLessThan(0.2);
    expect(await page.locator('.broken').count()).toBe(0);
    await eventually(async () => (await statusOf(id)) === 'ready');
    expect(problems).toEqual([]);
    await context.close();
  }

  it('plays to its end while the lowest rung grows', async () => {
    const file = join(folder.path, 'grows.mkv');
    await execa('ffmpeg', [
      ...['-v', 'error', '-f', 'lavfi', '-i', `testsrc2=size=960x540:rate=60:duration=${SECONDS}`],
      ...['-f', 'lavfi', '-i', `sine=frequency=440:sample_rate=48000:duration=${SECONDS}`],
      ...['-c:v', 'mpeg4', '-b:v', '2M', '-c:a', 'libopus', file],
    ]);
    await watch(file);
  }, 400_000);

  it('plays the copy to its end while the ladder takes its place', async () => {
    await watch(await makeFilm(join(folder.path, 'copied.mp4'), SECONDS));
  }, 400_000);
});
