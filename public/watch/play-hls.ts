/** Feeds an HLS stream to a <video>: by the browser itself on Safari, by hls.js elsewhere. */
import Hls, { ErrorTypes, type ErrorData } from 'hls.js';
import type { Renditions } from './renditions.ts';

export interface Playing {
  /** Undefined where the browser plays HLS itself. */
  hls: Hls | undefined;
  stop(): void;
}

/** Recoveries from decoding errors in a row before it gives up. */
const MEDIA_RECOVERIES = 3;
const NETWORK_RETRY_MS = 3_000;

/** `onBroken` gets a sentence when playing can't go on. */
export function playHls(
  video: HTMLVideoElement,
  url: string,
  renditions: Renditions,
  onBroken: (sentence: string) => void,
): Playing {
  if (isSafari() || !Hls.isSupported()) {
    video.src = url;
    video.addEventListener('error', () => onBroken('This browser can’t play the stream.'));
    return { hls: undefined, stop: () => video.removeAttribute('src') };
  }
  const hls = new Hls({ capLevelToPlayerSize: true, backBufferLength: 60 });
  let timer: ReturnType<typeof setTimeout> | undefined;
  renditions.follow(hls);
  hls.on(
    Hls.Events.ERROR,
    recover(hls, (again) => (timer = setTimeout(again, NETWORK_RETRY_MS)), onBroken),
  );
  hls.loadSource(url);
  hls.attachMedia(video);
  return {
    hls,
    stop() {
      clearTimeout(timer);
      hls.destroy();
    },
  };
}

/** Only Safari has AirPlay's event; its own player saves battery and does AirPlay. Chrome's own HLS has no quality menu. */
const isSafari = (): boolean => 'WebKitPlaybackTargetAvailabilityEvent' in window;

/** hls.js retries by itself first; a fatal error is what is left when that did not help. */
function recover(hls: Hls, later: (again: () => void) => void, onBroken: (sentence: string) => void) {
  let recoveries = 0;
  hls.on(Hls.Events.FRAG_BUFFERED, () => (recoveries = 0));
  return (_event: string, error: ErrorData): void => {
    if (!error.fatal) return;
    const status = error.response?.code ?? 0;
    if (error.type === ErrorTypes.NETWORK_ERROR && (status === 0 || status >= 500 || status === 429)) {
      // Offline or a server that restarts: go on as soon as it is back.
      later(() => (hls.levels.length ? hls.startLoad() : hls.loadSource(hls.url ?? '')));
    } else if (error.type === ErrorTypes.MEDIA_ERROR && recoveries++ < MEDIA_RECOVERIES) {
      hls.recoverMediaError();
    } else {
      onBroken(
        status === 401 || status === 403
          ? 'You may not play this any more: the link has run out. Reload the page.'
          : `Playing stopped (${error.details}). Reload the page to try again.`,
      );
    }
  };
}
