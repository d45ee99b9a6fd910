/**
 * Where whole objects live: uploaded sources and the outputs of steps. Keys are ours, never a user's:
 * `media/{id}/source`, `media/{id}/{outputId}/…`. Unfinished uploads are the business of server/uploads.
 */
import type { Readable } from 'node:stream';

export interface ObjectStat {
  /** Bytes. */
  size: number;
  /** Strong entity tag, quoted. Changes when the bytes change. */
  etag: string;
  modifiedAt: Date;
}

export interface ByteRange {
  start: number;
  /** Inclusive. */
  end: number;
}

export interface PutOptions {
  contentType?: string;
}

export interface Storage {
  readonly driver: 'disk' | 's3';
  /** Undefined when there is no such object; throws on any other failure. */
  stat(key: string, signal?: AbortSignal): Promise<ObjectStat | undefined>;
  /**
   * Bytes of an object or of a range of it; the signal ends them also while they flow. Throws `ObjectMissingError`. The
   * caller must consume or destroy it.
   */
  read(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Readable>;
  /** Stores an object whole or not at all. */
  put(key: string, body: Buffer | string, options?: PutOptions, signal?: AbortSignal): Promise<void>;
  /** Stores a local file whole or not at all; the file stays. */
  putFile(key: string, path: string, options?: PutOptions, signal?: AbortSignal): Promise<void>;
  /**
   * A local, read-only path of the object's bytes for FFmpeg: the object itself on disk, a download into
   * `scratch` on S3. Throws `ObjectMissingError`.
   */
  localPath(key: string, scratch: string, signal?: AbortSignal): Promise<string>;
  /** Keys below a prefix that ends with `/`, with their sizes. */
  list(prefix: string): AsyncIterable<{ key: string; size: number; modifiedAt: Date }>;
  /** Deletes an object; not an error when it is gone. */
  delete(key: string): Promise<void>;
  /** Deletes everything below a prefix that ends with `/`. */
  deletePrefix(prefix: string): Promise<void>;
  /** Throws with the reason when storage can't be used. For /readyz. */
  check(): Promise<void>;
  /** Bytes that can still be written, where that is known (disk). */
  freeBytes(): Promise<number | undefined>;
  close(): void;
}

/** The object is not there: a fact, where any other error is an outage. */
export class ObjectMissingError extends Error {
  constructor(key: string) {
    super(`no object ${key}`);
    this.name = 'ObjectMissingError';
  }
}

export const sourceKey = (mediaId: string): string => `media/${mediaId}/source`;
export const mediaPrefix = (mediaId: string): string => `media/${mediaId}/`;
export const outputPrefix = (mediaId: string, outputId: string): string => `media/${mediaId}/${outputId}/`;
