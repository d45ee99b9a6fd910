/**
 * What an encoding provider is to Millrace. Everything else of server/providers works for any of them; a new one is a
 * folder that implements this interface, and a line in open.ts.
 *
 * Words: a *video* is the provider's object (ours is a media); an *attempt* is our row that asked for it, and its id
 * is the video's name at the provider, so that the video can be found when the answer to its creation was lost.
 */
/** What can be seen of a video, in words every provider's can be turned into. */
export interface Observation {
  videoId: string;
  /** The attempt it was made for, as it says itself; undefined when it bears no name of ours. */
  attemptId: string | undefined;
  /**
   * accepted | working: the provider has it, or encodes it; playable: somebody can watch, better qualities may follow;
   * complete: all there; failed: it ends here; unknown: words we don't know, to be ignored.
   */
  state: 'accepted' | 'working' | 'playable' | 'complete' | 'failed' | 'unknown';
  /** 0 to 100, when told. */
  percent?: number | undefined;
  /** Of `failed`. */
  error?: VideoError | undefined;
  /** Where it plays, when told. */
  playback?: VideoPlayback | undefined;
  /** Seconds, pixels and bytes, when told. */
  duration?: number | undefined;
  width?: number | undefined;
  height?: number | undefined;
  size?: number | undefined;
  /** The provider's words, for the log. */
  raw: string;
}

export interface VideoError {
  /** Ours: stable, snake_case. */
  code: string;
  /** A sentence a person understands. */
  message: string;
  /** It could not fetch the source: a new attempt with a fresh address may succeed. */
  refetch: boolean;
}

export interface VideoPlayback {
  hls: string;
  dash?: string | undefined;
  poster?: string | undefined;
  /** Plays only with a token in its address: see `signedUrl`. */
  signed: boolean;
}

/** What a video is made from. */
export interface Submission {
  attemptId: string;
  mediaId: string;
  owner: string;
}

export interface PushTarget {
  videoId: string;
  /** Goes on to work after a crash of ours. */
  uploadUrl: string;
}

/** Why a call failed, as far as it matters for what to do next. */
export type ProviderTrouble =
  /** It never reached the provider: nothing has happened. */
  | 'not_sent'
  /** No answer, or one that doesn't say what happened. */
  | 'unclear'
  /** Too many requests or videos at a time: nothing has happened, come again later. */
  | 'busy'
  /** Our credentials are not accepted: nothing has happened; a person has to look. */
  | 'unauthorized'
  /** It does not exist. */
  | 'missing'
  /** It will never be taken. */
  | 'refused';

export class ProviderError extends Error {
  readonly trouble: ProviderTrouble;
  /** Of `busy`: milliseconds. */
  readonly retryAfterMs: number | undefined;
  constructor(
    trouble: ProviderTrouble,
    message: string,
    options: ErrorOptions & { retryAfterMs?: number } = {},
  ) {
    super(message, options);
    this.name = 'ProviderError';
    this.trouble = trouble;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** What a webhook turned out to be. */
export type Delivery =
  | { verdict: 'forged'; reason: string }
  | { verdict: 'malformed'; reason: string }
  | { verdict: 'genuine'; observation: Observation };

export interface Provider {
  /** Also its name in rows, addresses and logs. */
  readonly name: string;
  readonly capabilities: {
    /** Largest source, in bytes. */
    maxBytes: number;
    /** Videos it queues or encodes at a time. */
    maxInFlight: number;
    /** Videos that one call of `observe` may ask for. */
    batch: number;
    /** Calls that polling may make per window: a bounded share of its rate limit. */
    pollCalls: number;
    /** Milliseconds of that window. */
    pollWindow: number;
    /** Bytes of each call of `pushBytes`. */
    pushChunk: number;
    /** Takes subtitles beside the video. */
    captions: boolean;
  };
  /**
   * Asks for a video copied from an address. Called once per attempt: a second call makes a second, billable video.
   * Throws ProviderError; after `unclear` only `findByAttempt` tells whether there is one.
   */
  submit(submission: Submission & { sourceUrl: string }, signal: AbortSignal): Promise<Observation>;
  /** Opens a video to be pushed. Throws as `submit` does. */
  openPush(submission: Submission & { length: number }, signal: AbortSignal): Promise<PushTarget>;
  /** How many bytes of a push have arrived. Throws `missing` when it can't go on. */
  pushedBytes(uploadUrl: string, signal: AbortSignal): Promise<number>;
  /** Appends bytes at `offset`; resolves with the new offset. All but the last call bring `pushChunk` bytes. */
  pushBytes(
    uploadUrl: string,
    offset: number,
    body: Uint8Array<ArrayBuffer>,
    signal: AbortSignal,
  ): Promise<number>;
  /** Every video of an attempt, the oldest first. May lag behind. */
  findByAttempt(attemptId: string): Promise<Observation[]>;
  /** Those of the videos that are found in its list, in any order. May lag behind. */
  observe(videoIds: string[]): Promise<Observation[]>;
  /** One video, looked at directly. Undefined: there is none. */
  look(videoId: string): Promise<Observation | undefined>;
  /** Reads a webhook's body. `secrets`: any of them may have signed. */
  readWebhook(body: Buffer, headers: Record<string, unknown>, secrets: string[], now?: number): Delivery;
  /** An address that plays for `ttlMs` at most, made from one of `playback`. */
  signedUrl(videoId: string, url: string, ttlMs: number): Promise<string>;
  /** Adds subtitles (WebVTT) in a language (BCP 47), replacing those it has. */
  putCaptions(videoId: string, language: string, vtt: string): Promise<void>;
  /** Deletes a video; one that is gone already is fine. */
  remove(videoId: string): Promise<void>;
  /** Origins that players must be allowed to load from, as CSP writes them. */
  readonly origins: readonly string[];
}
