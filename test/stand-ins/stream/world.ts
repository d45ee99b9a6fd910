/** The stand-in's state: videos with lives of their own, and the webhooks that tell of them. */
import { createHmac, randomBytes, type KeyObject } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { NO_FAULTS, randomOf, type Faults } from './faults.ts';
import { fetchSource } from './fetch-source.ts';
import { newUid, show, type State, type Video } from './video.ts';

export interface WorldOptions {
  seed?: number;
  faults?: Partial<Faults>;
  /** Milliseconds between two states. Null: videos only move when `move` is called. */
  stepMs?: number | null;
  /** Videos that are queued or encoding at a time. */
  maxInFlight?: number;
  /** A new video shows up in lists after this long. */
  listLagMs?: number;
  webhookDelayMs?: number;
  /** Times it tries to fetch a source before it gives up, with pauses of a step. */
  fetchTries?: number;
  /** The notification URL and its secret, as if somebody had set them before. */
  webhook?: { url: string; secret: string };
}

export interface Webhook {
  url: string;
  secret: string;
}

export class World {
  readonly videos = new Map<string, Video>();
  /** Requests that the API's schema does not allow. Empty at the end of every test. */
  readonly violations: string[] = [];
  /** `METHOD path` of every call. */
  readonly calls: string[] = [];
  /** What webhooks were answered. */
  readonly deliveries: { uid: string; state: string; status: number | string }[] = [];
  readonly random: () => number;
  faults: Faults;
  webhook: Webhook | undefined;
  origin = '';
  /** Playback tokens of its own -> uid. */
  readonly issued = new Map<string, string>();
  /** Public half of a signing key it was told of. */
  signingKey: KeyObject | undefined;
  readonly options: Required<Omit<WorldOptions, 'webhook' | 'faults'>>;
  /** A push that has brought this many bytes is not read on until its connection is gone. */
  holdPushAt = Infinity;
  /** What plays, whatever was uploaded: a folder with `index.m3u8`, its segments and `poster.jpg`. */
  film: string | undefined;
  #closed = false;

  constructor({ webhook, faults, ...options }: WorldOptions = {}) {
    this.options = {
      ...{ seed: 1, stepMs: 20, maxInFlight: 120, listLagMs: 0, webhookDelayMs: 500, fetchTries: 3 },
      ...options,
    };
    this.random = randomOf(this.options.seed);
    this.faults = { ...NO_FAULTS, ...faults };
    this.webhook = webhook;
  }

  /** True as often as the fault is likely. */
  strikes(fault: keyof Faults): boolean {
    return this.faults[fault] > 0 && this.random() < this.faults[fault];
  }

  get live(): Video[] {
    return [...this.videos.values()].filter(({ deleted }) => !deleted);
  }

  get inFlight(): number {
    return this.live.filter(
      ({ state, percent }) => state !== 'error' && !(state === 'ready' && percent === 100),
    ).length;
  }

  create(fields: Pick<Video, 'meta' | 'creator' | 'requireSignedURLs' | 'input' | 'push'>): Video {
    const video: Video = {
      ...{ uid: newUid(), created: Date.now(), percent: 0, readyToStream: false, errorCode: undefined },
      ...{ deleted: false, sha256: undefined, size: 0, fetches: [], captions: {}, before: undefined },
      state: fields.push ? 'pendingupload' : 'downloading',
      ...fields,
    };
    this.videos.set(video.uid, video);
    if (!fields.push && this.options.stepMs !== null) void this.copy(video);
    return video;
  }

  /** Starts the life of a video whose bytes were pushed. */
  pushed(video: Video): void {
    this.move(video.uid, 'queued', 0);
    if (this.options.stepMs !== null) void this.encode(video);
  }

  /** Changes a video's state; `webhook` false keeps silent about it. */
  move(uid: string, state: State, percent: number, { errorCode, webhook = true }: MoveOptions = {}): void {
    const video = this.videos.get(uid);
    if (!video || video.deleted) return;
    video.before = show(video, this.origin);
    Object.assign(video, { state, percent, errorCode });
    video.readyToStream ||= state === 'ready';
    // "when a video finishes processing and is ready to stream", or has failed.
    if (webhook && (state === 'ready' || state === 'error')) void this.notify(video);
  }

  async notify(video: Video): Promise<void> {
    const body = JSON.stringify(show(video, this.origin));
    if (!this.webhook || this.strikes('drop')) return;
    const times = this.strikes('duplicate') ? 2 : 1;
    for (let n = 0; n < times; n++) {
      if (this.strikes('reorder'))
        await sleep(this.random() * this.options.webhookDelayMs, undefined, { ref: false });
      await this.send(video, body);
    }
  }

  /** Sends a signed webhook and notes the answer. */
  async send(video: Pick<Video, 'uid' | 'state'>, body: string, webhook = this.webhook!): Promise<void> {
    if (this.#closed) return;
    const time = String(Math.floor(Date.now() / 1000));
    const sig1 = createHmac('sha256', webhook.secret).update(`${time}.${body}`).digest('hex');
    const status = await fetch(webhook.url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'Webhook-Signature': `time=${time},sig1=${sig1}` },
      body,
      redirect: 'manual',
      signal: AbortSignal.timeout(5_000),
    }).then(
      (answer) => answer.status,
      (error: unknown) => String((error as { cause?: { code?: string } }).cause?.code ?? error),
    );
    this.deliveries.push({ uid: video.uid, state: video.state, status });
  }

  /** "its secret changes when the URL is set". */
  subscribe(url: string): Webhook {
    return (this.webhook = { url, secret: randomBytes(32).toString('hex') });
  }

  /** A playback token for a video. */
  issue(uid: string): string {
    const token = `${randomBytes(12).toString('hex')}.token`;
    this.issued.set(token, uid);
    return token;
  }

  close(): void {
    this.#closed = true;
  }

  async #step(): Promise<void> {
    await sleep((this.options.stepMs ?? 0) * (0.5 + this.random()), undefined, { ref: false });
  }

  async copy(video: Video): Promise<void> {
    for (let tries = 1; ; tries++) {
      await this.#step();
      if (this.#closed || video.deleted) return;
      try {
        await fetchSource(video);
        break;
      } catch (error) {
        video.fetches.push(String((error as { cause?: { code?: string } }).cause?.code ?? error));
        if (tries >= this.options.fetchTries)
          return this.move(video.uid, 'error', 0, { errorCode: 'ERR_FETCH_ORIGIN_ERROR' });
      }
    }
    if (this.strikes('originError'))
      return this.move(video.uid, 'error', 0, { errorCode: 'ERR_FETCH_ORIGIN_ERROR' });
    this.move(video.uid, 'queued', 0);
    await this.encode(video);
  }

  async encode(video: Video): Promise<void> {
    const { uid } = video;
    await this.#step();
    if (this.strikes('nonVideo')) return this.move(uid, 'error', 0, { errorCode: 'ERR_NON_VIDEO' });
    this.move(uid, 'inprogress', 12);
    await this.#step();
    this.move(uid, 'ready', 39);
    await this.#step();
    this.move(uid, 'ready', 100);
  }
}

interface MoveOptions {
  errorCode?: string;
  webhook?: boolean;
}
