/** Stores one rendition, segment by segment, while FFmpeg writes it. */
import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { codecsOf } from '../../hls/codecs.ts';
import { iframePlaylistOf, playlistOf } from '../../hls/media-playlist.ts';
import type { StoredSegment } from '../../hls/model.ts';
import type { NewSegment } from '../../media/growing.ts';
import { ObjectMissingError } from '../../storage/storage.ts';
import { Cutter, FreeCutter } from '../encode/cuts.ts';
import { diskFull } from '../failures.ts';
import { atOnce } from './at-once.ts';
import { discard, joined, keyFramesOf, PieceReader, type Segment } from './pieces.ts';
import { TYPES } from './publish.ts';
import type { StepContext } from '../step.ts';

const DIFFERENCE = 0.005;

/** What an earlier attempt stored is not what this one makes: its output can't be continued. */
export class Differs extends Error {}

/** Where in the whole the first segment belongs. */
export interface Beginning {
  /** Seconds. */
  start: number;
  firstSegment: number;
  /** Its pieces begin where the source has its key frames. */
  free?: boolean;
  /** Seconds at which the whole should end; absent where nobody knows. */
  end?: number | undefined;
}

export const ZERO: Beginning = { start: 0, firstSegment: 0 };

export class RenditionWriter {
  readonly name: string;
  /** What is stored, in order. */
  readonly segments: StoredSegment[] = [];
  bytes = 0;
  codecs = '';
  readonly #ctx: StepContext;
  readonly #folder: string;
  readonly #reader: PieceReader;
  readonly #isVideo: boolean;
  #prefix = '';
  #earlier: readonly StoredSegment[] = [];
  #sequence: number;

  constructor(ctx: StepContext, root: string, name: string, isVideo: boolean, from: Beginning = ZERO) {
    this.name = name;
    this.#sequence = from.firstSegment;
    this.#ctx = ctx;
    this.#folder = join(ctx.scratch, root, name);
    this.#reader = new PieceReader(
      this.#folder,
      from.free ? new FreeCutter() : new Cutter(from.start, from.end),
      from.free,
    );
    this.#isVideo = isVideo;
  }

  /** FFmpeg has written something that can be stored. */
  get begun(): boolean {
    return existsSync(join(this.#folder, 'index.m3u8')) && existsSync(join(this.#folder, 'init.mp4'));
  }

  /** An earlier attempt's initialization segment below `prefix` is the one that this attempt writes. */
  async continues(prefix: string): Promise<boolean> {
    try {
      const { storage, signal } = this.#ctx;
      const stored = await buffer(await storage.read(`${prefix}${this.name}/init.mp4`, undefined, signal));
      return stored.equals(await this.#init());
    } catch (error) {
      if (error instanceof ObjectMissingError) return false;
      throw error;
    }
  }

  /** Where to store. Segments of `earlier` are there already. */
  async open(outputPrefix: string, earlier: readonly StoredSegment[]): Promise<void> {
    this.#prefix = `${outputPrefix}${this.name}/`;
    this.#earlier = earlier;
    const init = await this.#init();
    this.codecs = codecsOf(init).join(',');
    await this.#put('init.mp4', init);
  }

  /** Stores into an output that somebody else opened. False when segments of this one would not fit to its header. */
  async joins(outputPrefix: string): Promise<boolean> {
    if (!this.begun || !(await this.continues(outputPrefix))) return false;
    this.#prefix = `${outputPrefix}${this.name}/`;
    return true;
  }

  /** Stores what FFmpeg has completed since the last call; with `all` also the rest. Returns what is new. */
  async store(all: boolean, check?: (segment: Segment) => Promise<void>): Promise<NewSegment[]> {
    const made = await this.#reader.next(all);
    for (const segment of made) await check?.(segment);
    const first = this.#sequence;
    this.#sequence += made.length;
    const stored = await atOnce(made, async (segment, n) => {
      this.#ctx.signal.throwIfAborted();
      const before = this.#earlier[first + n];
      const kept = before ? this.#keep(before, segment) : await this.#add(first + n, segment);
      await discard(segment);
      return kept;
    });
    this.segments.push(...stored);
    return stored
      .map((segment, n) => ({ ...segment, rendition: this.name, sequence: first + n }))
      .filter(({ sequence }) => !this.#earlier[sequence]);
  }

  /** Stores the playlists of the whole. */
  async finish(): Promise<void> {
    await this.#put('index.m3u8', Buffer.from(playlistOf(this.segments, false)));
    if (this.#isVideo) await this.#put('iframes.m3u8', Buffer.from(iframePlaylistOf(this.segments)));
  }

  get duration(): number {
    return this.segments.reduce((sum, { duration }) => sum + duration, 0);
  }

  async #init(): Promise<Buffer> {
    const init = await readFile(join(this.#folder, 'init.mp4'));
    if (!init.length) throw diskFull(); // FFmpeg says nothing of that
    return init;
  }

  #keep(before: StoredSegment, segment: Segment): StoredSegment {
    const duration = segment.reduce((sum, piece) => sum + piece.duration, 0);
    if (Math.abs(duration - before.duration) > DIFFERENCE) throw new Differs(`${this.name}/${before.uri}`);
    this.bytes += before.bytes;
    return before;
  }

  /** The attempt's number is part of the name: one that lost its lease may still be writing its own. */
  async #add(sequence: number, segment: Segment): Promise<StoredSegment> {
    const uri = `${String(sequence + 1).padStart(5, '0')}-${this.#ctx.attempt}.m4s`;
    const bytes = await joined(segment);
    const keyFrames = this.#isVideo ? await keyFramesOf(segment, bytes) : [];
    const size = await this.#put(uri, bytes ?? segment[0]?.path ?? '');
    return {
      uri,
      duration: segment.reduce((sum, piece) => sum + piece.duration, 0),
      bytes: size,
      keyFrames,
    };
  }

  async #put(name: string, what: Buffer | string): Promise<number> {
    const { storage, signal } = this.#ctx;
    const key = this.#prefix + name;
    const options = { contentType: TYPES[name.slice(name.lastIndexOf('.'))] ?? '' };
    let size: number;
    if (typeof what === 'string') {
      size = (await stat(what)).size;
      await storage.putFile(key, what, options, signal);
    } else {
      size = what.length;
      await storage.put(key, what, options, signal);
    }
    this.bytes += size;
    return size;
  }
}

/** Stores what FFmpeg has completed of several renditions since the last call, all at once. Returns what is new. */
export async function storeAll(
  writers: readonly RenditionWriter[],
  all: boolean,
  checkOf?: (writer: RenditionWriter) => ((segment: Segment) => Promise<void>) | undefined,
): Promise<NewSegment[]> {
  return (await atOnce(writers, (writer) => writer.store(all, checkOf?.(writer)))).flat();
}
