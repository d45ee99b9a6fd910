/** AV1 beside H.264 in Chromium: who watches H.264 is not disturbed when it comes, who opens the page later plays it. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { eventually, startServer, type TestServer } from '../server.ts';
import { uploadFile } from '../tus.ts';
import { inChromium, launchChromium } from './chromium.ts';
import { makeFilm, openLoggedIn, player } from './page.ts';
import { record } from './watching.ts';

const SECONDS = 20;

inChromium('a film in H.264 and AV1', () => {
  let dir: string;
  let browser: Browser;
  let server: TestServer;
  const gate = (): string => join(dir, 'gate');

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'millrace-codecs-'));
    const ffmpeg = join(dir, 'ffmpeg');
    // AV1 comes when the test says so.
    const wait = `case "$*" in *libsvtav1*) while [ ! -e ${gate()} ]; do sleep 0.1; done;; esac`;
    await writeFile(ffmpeg, `#!/bin/sh\n${wait}\nexec ffmpeg "$@"\n`);
    for (const each of [dir, ffmpeg]) await chmod(each, 0o755);
    browser = await launchChromium();
    server = await startServer({
      ...{ FFMPEG_PATH: ffmpeg, SANDBOX: 'off', LADDER: '180', CODECS: 'h264,av1', SVTAV1_PRESET: '12' },
      ...{ STORYBOARD: 'off', STALL_TIMEOUT: '10m' },
    });
  });

  afterAll(async () => {
    await browser?.close();
    await server?.dispose();
    if (dir) await rm(dir, { recursive: true });
  });

  /** The folders of the pictures that a page has asked for. */
  function picturesOf(page: Page): Set<string> {
    const asked = new Set<string>();
    page.on('request', (request) => {
      const [, folder] = /\/hls\/[^/]+\/(v[\w-]+)\/[^/]+\.m4s/.exec(request.url()) ?? [];
      if (folder) asked.add(folder);
    });
    return asked;
  }

  const play = (page: Page): Promise<void> =>
    page.locator('video').evaluate((video: { play(): Promise<void> }) => video.play());

  interface Shown {
    status: string;
    outputs: { kind: string; variants?: { codecs: string }[] }[];
  }
  const read = async (id: string): Promise<Shown> =>
    (await (await server.fetch(`/api/media/${id}`)).json()) as Shown;
  const codecsOf = ({ outputs }: Shown): string[] =>
    outputs.flatMap(({ variants = [] }) => variants.map(({ codecs }) => codecs));

  it('goes on in the codec in which it began', async () => {
    const id = await uploadFile(server, await makeFilm(join(dir, 'film.mp4'), SECONDS));
    await eventually(async () => (await read(id)).status === 'ready');

    const { page, context, problems } = await openLoggedIn(browser, server, `/watch/${id}`);
    const early = picturesOf(page);
    await play(page);
    await eventually(async () => ((await player(page))?.currentTime ?? 0) > 0);
    const watched = await record(page);
    await writeFile(gate(), '');
    const codecs = await eventually(async () => {
      const found = codecsOf(await read(id));
      return found.length > 1 && found;
    });
    expect(codecs).toEqual([expect.stringMatching(/^avc1/), expect.stringMatching(/^av01\.0\.\d\dM\.08$/)]);
    const supported = (codec: string): Promise<boolean> =>
      page.evaluate(`MediaSource.isTypeSupported('video/mp4; codecs="${codec}"')`);
    expect(await Promise.all(codecs.map(supported))).toEqual([true, true]);

    await page.evaluate("document.querySelector('video').currentTime = 17");
    await eventually(async () => (await player(page))?.ended);
    expect(await watched()).toMatchObject({ emptied: 0, heights: [180] });
    expect([...early]).toEqual(['v180']);
    expect(problems).toEqual([]);
    await context.close();

    const later = await openLoggedIn(browser, server, `/watch/${id}`);
    const late = picturesOf(later.page);
    await later.page.reload();
    await play(later.page);
    await eventually(async () => ((await player(later.page))?.currentTime ?? 0) > 1);
    expect([...late]).toEqual(['v180-av1']);
    expect(later.problems).toEqual([]);
    await later.context.close();
  }, 600_000);
});
