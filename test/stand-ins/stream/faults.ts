/** What the stand-in does wrong on purpose: each a probability from 0 to 1, decided by its seed. */
export interface Faults {
  /** POST: the video is made, and the answer is a 502. */
  badGatewayAfter: number;
  /** POST: nothing is made, and the answer is a 502. */
  badGatewayBefore: number;
  /** POST: the video is made, and the connection closes without an answer. */
  hangUp: number;
  /** Any call: 429 with Retry-After. */
  tooMany: number;
  /** POST: 413. */
  tooLarge: number;
  /** GET shows what was before the last change. */
  stale: number;
  /** GET of one video: 404 although it is there. */
  notFound: number;
  /** A webhook that is never sent. */
  drop: number;
  /** A webhook that is sent twice. */
  duplicate: number;
  /** A webhook that is held back for up to `webhookDelayMs`, so that later ones overtake it. */
  reorder: number;
  /** A webhook that is sent before the POST is answered. */
  early: number;
  /** The source could not be fetched, though it could. */
  originError: number;
  /** It turns out not to be a video. */
  nonVideo: number;
}

export const NO_FAULTS: Faults = {
  ...{ badGatewayAfter: 0, badGatewayBefore: 0, hangUp: 0, tooMany: 0, tooLarge: 0 },
  ...{ stale: 0, notFound: 0, drop: 0, duplicate: 0, reorder: 0, early: 0 },
  ...{ originError: 0, nonVideo: 0 },
};

/** mulberry32: the same numbers for the same seed. */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
