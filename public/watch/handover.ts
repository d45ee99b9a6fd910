/** Hands a <video> from one hls.js to another without a break: what lies in its buffer plays on. */
import Hls, {
  CapLevelController,
  Events,
  PlaylistLevelType,
  type ErrorData,
  type HlsConfig,
  type HlsListeners,
  type InitPTSFoundData,
  type Level,
} from 'hls.js';
import { codecOf } from './renditions.ts';

/** Seconds of the old that are kept ahead, so that the new has time to come: a segment (6.5 s at most) and some. */
const KEPT_AHEAD = 9;
/** A segment of the new that ends behind this many seconds begins behind what plays: a segment and a bit. */
const ENOUGH_AHEAD = 7;
/** Sound and picture don't end at the very same moment. */
const SEAM = 0.1;
/** Seconds before the end of the film where it isn't worth it. */
const LAST = 12;

/**
 * True when there is something to hand over, and enough of the film left to do it for; and what is loaded ahead plays
 * on meanwhile, or there is nothing to lose.
 */
export const mayHandOver = (video: HTMLVideoElement): boolean =>
  video.readyState > 0 &&
  !video.seeking &&
  video.duration - video.currentTime > LAST &&
  (bufferedTo(video) - video.currentTime >= ENOUGH_AHEAD ||
    video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA);

export interface Handover {
  video: HTMLVideoElement;
  from: Hls;
  url: string;
  config: Partial<HlsConfig>;
  /** Where time stamps lie in `from`: its last INIT_PTS_FOUND. */
  timeline: InitPTSFoundData;
  /** Level to play, of those of the new; -1 leaves it to hls.js. */
  chooseLevel: (heights: number[]) => number;
}

/**
 * Loads what is at `url` now beside what plays, up to its first segment, and puts it into the place of `from` at the
 * start of that segment. Rejects, with `from` untouched, when it can't be loaded; `signal` gives it up.
 */
export async function handOver(handover: Handover, signal: AbortSignal): Promise<Hls> {
  const { from, video, url } = handover;
  const next = new Hls(configOf(handover));
  try {
    const loaded = happens(next, Events.MANIFEST_PARSED, signal);
    next.loadSource(url);
    await loaded;
    keepCodec(next, from.levels[from.currentLevel] ?? from.levels[0]);
    next.autoLevelCapping = CapLevelController.getMaxLevelByMediaSize(
      next.levels,
      video.clientWidth * devicePixelRatio,
      video.clientHeight * devicePixelRatio,
    );
    next.loadLevel = handover.chooseLevel(next.levels.map(({ height }) => height));
    next.trigger(Events.INIT_PTS_FOUND, handover.timeline);
    const prepared = firstSegment(next, signal);
    // (Told not to seek there, hls.js would begin at the beginning.)
    next.startLoad(Math.min(video.currentTime + KEPT_AHEAD, bufferedTo(video) + SEAM));
    const start = await prepared;
    from.stopLoad();
    await forget(from, Math.max(start, video.currentTime + 0.5), signal);
  } catch (error) {
    next.destroy();
    if (!signal.aborted) from.startLoad(-1, true);
    throw error;
  }
  takeOver(from, next, video);
  return next;
}

function configOf({ from, config, timeline }: Handover): Partial<HlsConfig> {
  return {
    ...config,
    autoStartLoad: false,
    startFragPrefetch: true,
    testBandwidth: false,
    abrEwmaDefaultEstimate: from.bandwidthEstimate,
    streamController: continuing(timeline),
    ...preferences(from),
  };
}

/** Whoever plays goes on in the codec that plays: not every browser changes it in the middle without a break. */
function keepCodec(next: Hls, playing: Level | undefined): void {
  const codec = codecOf(playing?.videoCodec);
  const others = next.levels.flatMap(({ videoCodec }, n) => (codecOf(videoCodec) === codec ? [] : [n]));
  if (others.length < next.levels.length) for (const n of others.reverse()) next.removeLevel(n);
}

/** The track that is heard, and the subtitles that are seen. */
export function preferences(from: Hls): Partial<HlsConfig> {
  const sound = from.audioTracks[from.audioTrack];
  const words = from.subtitleTracks[from.subtitleTrack];
  return {
    ...(sound ? { audioPreference: { lang: sound.lang ?? '', name: sound.name } } : {}),
    ...(words ? { subtitlePreference: { lang: words.lang ?? '', name: words.name } } : {}),
  };
}

/**
 * Segments of all renditions of a media have one time line: the same time stamp is the same moment as before. Where loading
 * begins is ahead of what plays, and nothing is sought there.
 */
const continuing = ({ timestampOffsets }: InitPTSFoundData): HlsConfig['streamController'] =>
  class extends Hls.DefaultConfig.streamController {
    override startLoad(startPosition: number, skipSeekToStartPosition?: boolean): void {
      if (!this.initPTS.length) this.initPTS = timestampOffsets.slice();
      super.startLoad(startPosition, skipSeekToStartPosition);
    }
    protected override seekToStartPos(): void {}
  };

/** Resolves with the time at which the first segment begins when every source buffer's first bytes are there. */
async function firstSegment(next: Hls, signal: AbortSignal): Promise<number> {
  let start = 0;
  const sounds = next.audioTracks.some(({ url }) => url);
  const main = happens(next, Events.BUFFER_APPENDING, signal, ({ parent, frag }) => {
    if (parent !== PlaylistLevelType.MAIN) return false;
    start = frag.start;
    return frag.sn !== 'initSegment';
  });
  const sound = happens(
    next,
    Events.BUFFER_APPENDING,
    signal,
    ({ parent }) => parent === PlaylistLevelType.AUDIO,
  );
  await Promise.all(sounds ? [main, sound] : [main]);
  return start;
}

/** Takes away the picture that was loaded ahead from `start` on, so that a better one is loaded in its place. */
async function forget(hls: Hls, start: number, signal: AbortSignal): Promise<void> {
  const type = hls.levels.some(({ videoCodec }) => videoCodec) ? 'video' : 'audio';
  const forgotten = happens(hls, Events.BUFFER_FLUSHED, signal, (flushed) => flushed.type === type);
  hls.trigger(Events.BUFFER_FLUSHING, { startOffset: start, endOffset: Infinity, type });
  await forgotten;
}

function takeOver(from: Hls, next: Hls, video: HTMLVideoElement): void {
  const seesSubtitles = from.subtitleTrack >= 0;
  const tracks = from.subtitleTracks;
  const media = from.transferMedia();
  for (const { trackNode } of tracks) trackNode?.remove();
  from.destroy();
  if (!seesSubtitles) next.subtitleTrack = -1;
  next.attachMedia(media ?? video);
}

const bufferedTo = ({ buffered, currentTime }: HTMLVideoElement): number => {
  for (let n = 0; n < buffered.length; n++)
    if (buffered.start(n) <= currentTime + 0.1 && buffered.end(n) >= currentTime) return buffered.end(n);
  return currentTime;
};

/** Resolves at the next such event. Rejects at a fatal error of `hls`, and when it is given up. */
function happens<E extends keyof HlsListeners>(
  hls: Hls,
  event: E,
  signal: AbortSignal,
  meant: (data: Parameters<HlsListeners[E]>[1]) => boolean = () => true,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const listener = (_: E, data: Parameters<HlsListeners[E]>[1]): void => void (meant(data) && end(resolve));
    const onError = (_: string, error: ErrorData): void => {
      if (error.fatal) end(() => reject(error.error));
    };
    const onAbort = (): void => end(() => reject(signal.reason as Error));
    const end = (settle: () => void): void => {
      hls.off(event, listener as HlsListeners[E]);
      hls.off(Events.ERROR, onError);
      signal.removeEventListener('abort', onAbort);
      settle();
    };
    hls.on(event, listener as HlsListeners[E]);
    hls.on(Events.ERROR, onError);
    signal.addEventListener('abort', onAbort);
  });
}
