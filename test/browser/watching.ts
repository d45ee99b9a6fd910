/** What somebody sees who watches the page's <video>: recorded in the page, frame by frame. */
import type { Page } from 'playwright-core';

export interface Watching {
  /** Seconds of the film that were skipped (or repeated, below 0) in one step of its clock: the largest of each. */
  forward: number;
  back: number;
  /** Times at which it had nothing left to play. */
  waits: number[];
  /** Heights of the picture, in their order. */
  heights: number[];
  /** The source was taken away and set anew. */
  emptied: number;
  /** What is chosen and set. */
  volume: number;
  subtitles: string[];
  fullscreen: boolean;
}

/** Begins to record; call the answer to see what there is so far. */
export async function record(page: Page): Promise<() => Promise<Watching>> {
  await page.evaluate(`(${RECORDER})(document.querySelector('video'))`);
  return () => page.locator('video').evaluate((video: { watching(): Watching }) => video.watching());
}

const RECORDER = `(video) => {
  const seen = { forward: 0, back: 0, waits: [], heights: [], emptied: 0 };
  let [time, clock, rate] = [video.currentTime, performance.now(), video.playbackRate];
  const look = () => {
    const now = performance.now();
    // Beyond what passed meanwhile on the wall: a busy machine draws frames late.
    const most = ((now - clock) / 1000) * Math.max(rate, video.playbackRate);
    seen.forward = Math.max(seen.forward, video.currentTime - time - most);
    seen.back = Math.max(seen.back, time - video.currentTime);
    [time, clock, rate] = [video.currentTime, now, video.playbackRate];
    if (video.videoHeight && seen.heights.at(-1) !== video.videoHeight) seen.heights.push(video.videoHeight);
    requestAnimationFrame(look);
  };
  look();
  // A busy machine waits for its decoder, too; that is not meant.
  const buffered = () => {
    for (let n = 0; n < video.buffered.length; n++)
      if (video.buffered.start(n) <= video.currentTime && video.buffered.end(n) > video.currentTime + 1) return true;
    return false;
  };
  video.addEventListener('waiting', () => buffered() || seen.waits.push(video.currentTime));
  video.addEventListener('emptied', () => seen.emptied++);
  video.watching = () => ({
    ...seen,
    volume: video.volume,
    subtitles: [...video.textTracks].filter((t) => t.mode === 'showing').map((t) => t.label),
    fullscreen: document.fullscreenElement !== null,
  });
}`;
