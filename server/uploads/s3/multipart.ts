/** S3 multipart uploads of one bucket, under our prefix. */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import type { S3Storage } from '../../storage/s3.ts';
import type { ByteRange } from '../../storage/storage.ts';
import type { ComingBytes } from './part-stream.ts';
import type { StoredPart } from './part-writer.ts';

export interface OpenMultipart {
  key: string;
  uploadId: string;
  initiatedAt: Date;
}

export class Multipart {
  readonly #storage: S3Storage;

  constructor(storage: S3Storage) {
    this.#storage = storage;
  }

  async create(key: string): Promise<string> {
    const { UploadId } = await this.#storage.client.send(new CreateMultipartUploadCommand(this.#at(key)));
    if (!UploadId) throw new Error('the bucket began a multipart upload without an id');
    return UploadId;
  }

  /**
   * Stores a part; a part of the same number is replaced. Resolves with its entity tag, and whether it took more than
   * one attempt: then an earlier one may still be reading the bytes.
   */
  async upload(
    key: string,
    uploadId: string,
    number: number,
    bytes: Buffer,
  ): Promise<{ etag: string; retried: boolean }> {
    const command = new UploadPartCommand({
      ...this.#at(key),
      UploadId: uploadId,
      PartNumber: number,
      Body: bytes,
      ContentLength: bytes.length,
    });
    const { ETag, $metadata } = await this.#storage.client.send(command);
    if (!ETag) throw untagged();
    return { etag: ETag, retried: $metadata.attempts !== 1 };
  }

  /** Stores a part of bytes that still come, in one attempt; a part that ends early is not stored. Resolves with its entity tag. */
  async stream(
    key: string,
    uploadId: string,
    number: number,
    { body, size, signal }: ComingBytes,
  ): Promise<string> {
    const command = new UploadPartCommand({
      ...this.#at(key),
      UploadId: uploadId,
      PartNumber: number,
      Body: body,
      ContentLength: size,
    });
    // The SDK doesn't repeat streams, but writes to the console each time that it can't.
    command.middlewareStack.add((next) => next, {
      ...{ name: 'retryMiddleware', step: 'finalizeRequest', priority: 'high', override: true },
    });
    const { ETag } = await this.#storage.client.send(command, { abortSignal: signal });
    if (!ETag) throw untagged();
    return ETag;
  }

  /** Stores a range of another object of the bucket as a part, at most 5 GiB. Resolves with its entity tag. */
  async copy(key: string, uploadId: string, number: number, from: string, range: ByteRange): Promise<string> {
    const { CopyPartResult } = await this.#storage.client.send(
      new UploadPartCopyCommand({
        ...this.#at(key),
        UploadId: uploadId,
        PartNumber: number,
        CopySource: encodeURI(`${this.#storage.bucket}/${this.#storage.fullKey(from)}`),
        CopySourceRange: `bytes=${range.start}-${range.end}`,
      }),
    );
    if (!CopyPartResult?.ETag) throw new Error('the bucket copied a part without an entity tag');
    return CopyPartResult.ETag;
  }

  /** The highest number of a part that is stored; `after` when none is higher. */
  async lastNumber(key: string, uploadId: string, after: number): Promise<number> {
    const { Parts = [], IsTruncated } = await this.#storage.client.send(
      new ListPartsCommand({ ...this.#at(key), UploadId: uploadId, PartNumberMarker: String(after) }),
    );
    const last = Math.max(after, ...Parts.map((part) => part.PartNumber ?? 0));
    return IsTruncated && last > after ? this.lastNumber(key, uploadId, last) : last;
  }

  /** Makes the parts the object. Throws too when only the answer was lost: ask for the object then. */
  async complete(key: string, uploadId: string, parts: readonly StoredPart[]): Promise<void> {
    await this.#storage.client.send(
      new CompleteMultipartUploadCommand({
        ...this.#at(key),
        UploadId: uploadId,
        MultipartUpload: { Parts: parts.map(({ number, etag }) => ({ PartNumber: number, ETag: etag })) },
      }),
    );
  }

  /** Frees what was stored of it; not an error when it is gone. */
  async abort(key: string, uploadId: string): Promise<void> {
    try {
      await this.#storage.client.send(
        new AbortMultipartUploadCommand({ ...this.#at(key), UploadId: uploadId }),
      );
    } catch (error) {
      if ((error as Error).name !== 'NoSuchUpload') throw error;
    }
  }

  /** What was begun below a prefix and neither completed nor aborted. */
  async list(prefix: string): Promise<OpenMultipart[]> {
    const found: OpenMultipart[] = [];
    let next: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {};
    while (next) {
      const page: Awaited<ReturnType<typeof this.page>> = await this.page(prefix, next);
      for (const { Key, UploadId, Initiated } of page.Uploads ?? [])
        if (Key && UploadId)
          found.push({
            key: Key.slice(this.#storage.fullKey('').length),
            uploadId: UploadId,
            initiatedAt: Initiated ?? new Date(),
          });
      next = page.IsTruncated
        ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker }
        : undefined;
    }
    return found;
  }

  private page(prefix: string, marker: { KeyMarker?: string; UploadIdMarker?: string }) {
    return this.#storage.client.send(
      new ListMultipartUploadsCommand({
        Bucket: this.#storage.bucket,
        Prefix: this.#storage.fullKey(prefix),
        ...marker,
      }),
    );
  }

  #at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#storage.bucket, Key: this.#storage.fullKey(key) };
  }
}

const untagged = (): Error => new Error('the bucket stored a part without an entity tag');
