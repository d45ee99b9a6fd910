/** Feeds an HLS stream to a <video>: by the browser itself on Safari, by hls.js elsewhere. */
import Hls, {
  ErrorTypes,
  Events,
  PlaylistLevelType,
  type ErrorData,
  type HlsConfig,
  type InitPTSFoundData,
} from 'hls.js';
import { handOver, mayHandOver, preferences } from './handover.ts';
import { codecOf, type Renditions } from './renditions.ts';
import type { Sounds } from './sounds.ts';

export interface Playing {
  /** Call it when there may be better renditions than those that play: moves on to them. */
  look(): void;
  stop(): void;
}

/** What somebody who watches is told; undefined takes it back. */
export interface Told {
  /** Playing can't go on. */
  broken(sentence: string): void;
  /** It stands still, and goes on by itself. */
  waiting(sentence: string | undefined): void;
}

/** Times that it begins anew with an address that is named but not there, before it gives up. */
const MISSING_RETRIES = 5;
/** Recoveries from decoding errors in a row before it gives up. */
const MEDIA_RECOVERIES = 3;
const NETWORK_RETRY_MS = 3_000;
/**
 * With `lowLatencyMode` a request for the next segment would be held all the time while a film grows, and browsers have six connections for
 * all pages of a host (HTTP/1.1). So it is made when that segment should be there.
 */
const CONFIG: Partial<HlsConfig> = {
  capLevelToPlayerSize: true,
  backBufferLength: 60,
  lowLatencyMode: false,
};

/** What the player's menus show and choose. */
export interface Choices {
  renditions: Renditions;
  sounds: Sounds;
}

export function playHls(video: HTMLVideoElement, url: string, choices: Choices, told: Told): Playing {
  if (isSafari() || !Hls.isSupported()) {
    video.src = url;
    video.addEventListener('error', () => told.broken('This browser can’t play the stream.'));
    return { look: () => undefined, stop: () => video.removeAttribute('src') };
  }
  return new HlsPlayer(video, url, choices, told);
}

/** Only Safari has AirPlay's event; its own player saves battery and does AirPlay. Chrome's own HLS has no quality menu. */
const isSafari = (): boolean => 'WebKitPlaybackTargetAvailabilityEvent' in window;

class HlsPlayer implements Playing {
  readonly #video: HTMLVideoElement;
  readonly #url: string;
  readonly #renditions: Renditions;
  readonly #sounds: Sounds;
  readonly #told: Told;
  readonly #stopped = new AbortController();
  #hls: Hls;
  /** Addresses of what plays. */
  #addresses = '';
  #timeline: InitPTSFoundData | undefined;
  #looking = false;
  #lookAgain = false;
  #recoveries = 0;
  /** What plays is not there any more: what is loaded is all there will be of it. */
  #lost = false;
  #missing = 0;

  constructor(video: HTMLVideoElement, url: string, { renditions, sounds }: Choices, told: Told) {
    this.#video = video;
    this.#url = url;
    this.#renditions = renditions;
    this.#sounds = sounds;
    this.#told = told;
    this.#hls = this.#open(CONFIG);
  }

  #open(config: Partial<HlsConfig>): Hls {
    const hls = new Hls(config);
    this.#follow(hls);
    hls.on(Events.MANIFEST_PARSED, (_, { levels }) => this.#renditions.show(hls, levels));
    hls.on(Events.MANIFEST_LOADED, (_, { levels, audioTracks, subtitles = [] }) => {
      const everyones = levels.filter(({ videoCodec }) => !isBetter(videoCodec));
      this.#addresses = keyOf([...everyones, ...audioTracks, ...subtitles].map((each) => each.url));
    });
    hls.loadSource(this.#url);
    hls.attachMedia(this.#video);
    return hls;
  }

  look(): void {
    if (this.#looking) this.#lookAgain = true;
    else void this.#look();
  }

  stop(): void {
    this.#stopped.abort();
    this.#hls.destroy();
  }

  #follow(hls: Hls): void {
    hls.on(Events.INIT_PTS_FOUND, (_, data) => data.id === PlaylistLevelType.MAIN && (this.#timeline = data));
    hls.on(Events.FRAG_BUFFERED, () => (this.#recoveries = this.#missing = 0));
    hls.on(Events.ERROR, (_, error) => this.#recover(hls, error));
    this.#sounds.follow(hls);
  }

  /** Looks until it has seen the newest, and waits for a moment at which moving on doesn't hurt. */
  async #look(): Promise<void> {
    const { signal } = this.#stopped;
    this.#looking = true;
    do {
      this.#lookAgain = false;
      try {
        if (this.#addresses) await this.#moveOn(signal);
      } catch (error) {
        if (signal.aborted) return;
        console.warn('other renditions could not be loaded yet', error);
        if (this.#lost) this.#told.waiting(GONE);
        this.#lookAgain = true;
        await sleep(NETWORK_RETRY_MS);
      }
    } while (this.#lookAgain && !signal.aborted);
    this.#looking = false;
  }

  async #moveOn(signal: AbortSignal): Promise<void> {
    const same = (await readAddresses(this.#url, signal)) === this.#addresses;
    if (this.#lost && (same || !this.#timeline || !mayHandOver(this.#video))) return this.#restart(same);
    if (same) return;
    await this.#rightMoment(signal);
    const [addresses, timeline] = [await readAddresses(this.#url, signal), this.#timeline];
    if (!timeline || addresses === this.#addresses) return;
    const { video, url, renditions } = { video: this.#video, url: this.#url, renditions: this.#renditions };
    const chooseLevel = (heights: number[]): number => renditions.sameAs(heights);
    const from = this.#hls;
    const next = await handOver({ video, from, url, config: CONFIG, timeline, chooseLevel }, signal);
    this.#hls = next;
    this.#addresses = addresses;
    this.#found();
    this.#follow(next);
    renditions.show(next, next.levels);
  }

  /** Begins anew where it is, with what there is now: what is in the buffer is given up. */
  #restart(same: boolean): void {
    if (same && this.#missing++ >= MISSING_RETRIES)
      return this.#told.broken('A part of this is not there. Reload the page to try again.');
    const { currentTime, paused, playbackRate } = this.#video;
    const kept = preferences(this.#hls);
    this.#hls.destroy();
    this.#timeline = undefined;
    this.#found();
    this.#hls = this.#open({ ...CONFIG, ...kept, startPosition: currentTime });
    this.#video.playbackRate = playbackRate;
    if (!paused) this.#video.play().catch(() => undefined); // refused: the play button is there
  }

  #found(): void {
    this.#lost = false;
    this.#told.waiting(undefined);
  }

  async #rightMoment(signal: AbortSignal): Promise<void> {
    while (!this.#lost && (!this.#timeline || !mayHandOver(this.#video)))
      await anyEvent(this.#video, MOMENTS, signal);
  }

  /** hls.js retries by itself first; a fatal error is what is left when that did not help. */
  #recover(hls: Hls, error: ErrorData): void {
    if (!error.fatal || hls !== this.#hls) return;
    const status = error.response?.code ?? 0;
    if (error.type === ErrorTypes.NETWORK_ERROR && (status === 0 || status >= 500 || status === 429)) {
      // Offline or a server that restarts: go on as soon as it is back.
      setTimeout(() => {
        if (hls !== this.#hls || this.#stopped.signal.aborted) return;
        if (hls.levels.length) hls.startLoad();
        else hls.loadSource(this.#url);
      }, NETWORK_RETRY_MS);
    } else if (error.type === ErrorTypes.NETWORK_ERROR && (status === 404 || status === 410)) {
      // It was withdrawn: another output takes its place, now or later.
      this.#lost = true;
      this.look();
    } else if (error.type === ErrorTypes.MEDIA_ERROR && this.#recoveries++ < MEDIA_RECOVERIES) {
      hls.recoverMediaError();
    } else {
      this.#told.broken(
        status === 401 || status === 403
          ? 'You may not play this any more: the link has run out. Reload the page.'
          : `Playing stopped (${error.details}). Reload the page to try again.`,
      );
    }
  }
}

const GONE = 'This is not there at the moment. It goes on by itself as soon as it can be played again.';

/** When another moment may have come. */
const MOMENTS = ['loadedmetadata', 'timeupdate', 'progress', 'seeked', 'playing', 'waiting', 'pause'];

function anyEvent(video: HTMLVideoElement, names: string[], signal: AbortSignal): Promise<void> {
  const done = new AbortController();
  return new Promise<void>((resolve, reject) => {
    const options = { once: true, signal: done.signal };
    for (const name of names) video.addEventListener(name, () => resolve(), options);
    signal.addEventListener('abort', () => reject(signal.reason as Error), options);
  }).finally(() => done.abort());
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Renditions in another codec are no reason to move on: what plays is as good. They come when all others are there. */
const isBetter = (videoCodec: string | undefined): boolean => ['hvc1', 'av01'].includes(codecOf(videoCodec));

/** The addresses that the playlist names now, without their tokens. */
async function readAddresses(url: string, signal: AbortSignal): Promise<string> {
  const answer = await fetch(url, { cache: 'no-cache', signal });
  if (!answer.ok) throw new Error(`the playlist was answered ${answer.status}`);
  const lines = (await answer.text()).split('\n');
  const uris = lines.flatMap((line, n) => {
    if (isBetter(/^#EXT-X-STREAM-INF:.*CODECS="([^",]*)/.exec(lines[n - 1] ?? '')?.[1])) return [];
    if (line.startsWith('#EXT-X-MEDIA:')) return /[:,]URI="([^"]*)"/.exec(line)?.[1] ?? [];
    return line === '' || line.startsWith('#') ? [] : line;
  });
  return keyOf(uris.map((uri) => new URL(uri, answer.url).href));
}

const keyOf = (urls: string[]): string =>
  [...new Set(urls.map((url) => url.replace(/[?#].*/, '')))].sort().join('\n');
