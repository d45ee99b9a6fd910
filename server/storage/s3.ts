import {
  CopyObjectCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type S3ServiceException,
} from '@aws-sdk/client-s3';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  ObjectMissingError,
  type ByteRange,
  type ObjectStat,
  type PutOptions,
  type Storage,
} from './storage.ts';

export interface S3Options {
  endpoint?: string | undefined;
  region: string;
  bucket: string;
  /** Empty, or ends with `/`: keeps several installations apart in one bucket. */
  prefix: string;
  /** Bytes are hashed and signed too, not only the request. Default: unless TLS protects them. */
  signPayload?: boolean | undefined;
  /** Absent: the SDK's own chain (environment, profile, instance role). */
  accessKey?: string | undefined;
  secretKey?: string | undefined;
  forcePathStyle: boolean;
}

/** What a status means when a bucket is asked for. */
const BUCKET_PROBLEMS: Record<number, string> = {
  301: 'it is in another region (301). Set S3_REGION.',
  400: 'S3 does not understand the request (400). Look at S3_ENDPOINT and S3_REGION.',
  401: 'S3 refuses the key (401). Look at S3_ACCESS_KEY and S3_SECRET_KEY.',
  403: 'S3 refuses the key, or the key may not use it (403). Look at S3_ACCESS_KEY, S3_SECRET_KEY and the permissions.',
  404: 'it does not exist (404). Make it, or look at S3_BUCKET and S3_ENDPOINT.',
};

/** Objects in one bucket of any service that speaks S3. */
export class S3Storage implements Storage {
  readonly driver = 's3';
  readonly client: S3Client;
  readonly bucket: string;
  /** Bytes are hashed before they are sent, so that all have to be there. */
  readonly signsBytes: boolean;
  readonly #prefix: string;

  constructor(options: S3Options) {
    this.bucket = options.bucket;
    this.#prefix = options.prefix;
    this.client = new S3Client({
      region: options.region,
      endpoint: options.endpoint,
      forcePathStyle: options.forcePathStyle,
      credentials:
        options.accessKey && options.secretKey
          ? { accessKeyId: options.accessKey, secretAccessKey: options.secretKey }
          : undefined,
      // The SDK's default adds CRC32 trailers, which R2 and B2 refuse.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      // “100 Continue” costs a round trip per part, to save bytes that are only refused when something is wrong anyway.
      expectContinueHeader: false,
      maxAttempts: 4,
      requestHandler: {
        connectionTimeout: 5_000,
        // Silence, not length, ends a request: the SDK only warns about a `requestTimeout`.
        socketTimeout: 60_000,
        httpAgent: { maxSockets: 256 },
        httpsAgent: { maxSockets: 256 },
      },
    });
    this.signsBytes = options.signPayload ?? options.endpoint?.startsWith('http:') ?? false;
    if (!this.signsBytes) this.#leaveBytesUnsigned();
  }

  /**
   * Signature Version 4, "unsigned payload": the signature covers everything but the bytes, whose SHA-256 would cost
   * about as much as all else that is done with them.
   */
  #leaveBytesUnsigned(): void {
    this.client.middlewareStack.add(
      (next) => (args) => {
        const { headers, body } = args.request as { headers: Record<string, string>; body: unknown };
        if (Buffer.isBuffer(body)) headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD';
        return next(args);
      },
      { step: 'build', name: 'leaveBytesUnsigned' },
    );
  }

  /** The key in the bucket: ours, below S3_PREFIX. */
  fullKey(key: string): string {
    return this.#prefix + key;
  }

  async stat(key: string, signal?: AbortSignal): Promise<ObjectStat | undefined> {
    const command = new HeadObjectCommand(this.#at(key));
    const head = await this.client.send(command, { abortSignal: signal }).catch(async (error: Error) => {
      if (error.name !== 'NotFound') throw error;
      // An answer to HEAD has no words: a bucket that is away, or a proxy without an S3 behind it, says 404 as well.
      await this.check();
      return undefined;
    });
    if (!head) return undefined;
    return {
      size: head.ContentLength ?? 0,
      etag: tagOf(head, key),
      modifiedAt: head.LastModified ?? new Date(0),
    };
  }

  async read(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Readable> {
    const command = new GetObjectCommand({
      ...this.#at(key),
      Range: range && `bytes=${range.start}-${range.end}`,
    });
    const found = await this.client.send(command, { abortSignal: signal }).catch((error: Error) => {
      // Other 404s say nothing of the object.
      throw error.name === 'NoSuchKey' ? new ObjectMissingError(key) : error;
    });
    const body = found.Body as Readable; // on Node the SDK's body is an IncomingMessage
    try {
      tagOf(found, key);
      if (range) assertRange(found, key, range);
    } catch (error) {
      body.destroy();
      throw error;
    }
    return signal ? addAbortSignal(signal, body) : body;
  }

  async put(
    key: string,
    body: Buffer | string,
    options: PutOptions = {},
    signal?: AbortSignal,
  ): Promise<void> {
    const bytes = typeof body === 'string' ? Buffer.from(body) : body; // the SDK can't tell the length of an empty string
    const command = new PutObjectCommand({
      ...this.#at(key),
      Body: bytes,
      ContentLength: bytes.length,
      ContentType: options.contentType,
    });
    tagOf(await this.client.send(command, { abortSignal: signal }), key);
  }

  /** Copies an object of at most 5 GiB inside of the bucket. */
  async copy(from: string, to: string): Promise<void> {
    const CopySource = encodeURI(`${this.bucket}/${this.fullKey(from)}`);
    const answer = await this.client.send(new CopyObjectCommand({ ...this.#at(to), CopySource }));
    tagOf(answer.CopyObjectResult ?? {}, to);
  }

  async putFile(key: string, path: string, options: PutOptions = {}, signal?: AbortSignal): Promise<void> {
    const { size } = await stat(path);
    const command = new PutObjectCommand({
      ...this.#at(key),
      Body: createReadStream(path),
      ContentLength: size,
      ContentType: options.contentType,
    });
    tagOf(await this.client.send(command, { abortSignal: signal }), key);
  }

  async localPath(key: string, scratch: string, signal?: AbortSignal): Promise<string> {
    await mkdir(scratch, { recursive: true });
    const path = join(scratch, 'source');
    await pipeline(await this.read(key, undefined, signal), createWriteStream(path), { signal });
    return path;
  }

  async *list(prefix: string): AsyncGenerator<{ key: string; size: number; modifiedAt: Date }> {
    let token: string | undefined;
    do {
      const page = await this.client.send(
        new ListObjectsV2Command({
          Bucket: this.bucket,
          Prefix: this.fullKey(prefix),
          ContinuationToken: token,
        }),
      );
      for (const { Key, Size, LastModified } of page.Contents ?? [])
        if (Key)
          yield {
            key: Key.slice(this.#prefix.length),
            size: Size ?? 0,
            modifiedAt: LastModified ?? new Date(0),
          };
      token = page.NextContinuationToken;
    } while (token);
  }

  async delete(key: string): Promise<void> {
    await this.client.send(new DeleteObjectCommand(this.#at(key)));
  }

  async deletePrefix(prefix: string): Promise<void> {
    let batch: string[] = [];
    for await (const { key } of this.list(prefix)) {
      if (batch.push(this.fullKey(key)) < 1000) continue;
      await this.#deleteBatch(batch);
      batch = [];
    }
    if (batch.length) await this.#deleteBatch(batch);
  }

  /** Deletes objects, at most 1,000. */
  async deleteAll(keys: readonly string[]): Promise<void> {
    const [first, ...others] = keys;
    if (first === undefined) return;
    await (others.length ? this.#deleteBatch(keys.map((key) => this.fullKey(key))) : this.delete(first));
  }

  async check(): Promise<void> {
    // An answer to HEAD has no body, so the SDK has no words for what is wrong.
    await this.client.send(new HeadBucketCommand({ Bucket: this.bucket })).catch((error: unknown) => {
      const status = (error as S3ServiceException).$metadata?.httpStatusCode ?? 0;
      const reason = BUCKET_PROBLEMS[status];
      throw reason
        ? new Error(`the bucket ${this.bucket} can't be used: ${reason}`, { cause: error })
        : error;
    });
  }

  freeBytes(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  close(): void {
    this.client.destroy();
  }

  #at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.bucket, Key: this.fullKey(key) };
  }

  /** 1,000 keys at most, as S3 allows. A key that could not be deleted is an error, or bytes would leak unseen. */
  async #deleteBatch(keys: string[]): Promise<void> {
    const answer = await this.client.send(
      new DeleteObjectsCommand({
        Bucket: this.bucket,
        Delete: { Quiet: true, Objects: keys.map((Key) => ({ Key })) },
      }),
    );
    const failed = answer.Errors?.find((e) => e.Code !== 'NoSuchKey');
    if (failed) throw new Error(`could not delete ${failed.Key}: ${failed.Code} ${failed.Message}`);
  }
}

/** S3 answers with an entity tag wherever an object is; a page that something in front of it sends in its place has none. */
function tagOf({ ETag }: { ETag?: string | undefined }, key: string): string {
  if (ETag) return ETag;
  throw new Error(`what answers at S3_ENDPOINT for ${key} is not S3: it gives no entity tag`);
}

/** Whoever asked for a range takes what comes for it. */
function assertRange(
  { ContentLength }: { ContentLength?: number | undefined },
  key: string,
  range: ByteRange,
): void {
  const { start, end } = range;
  if (ContentLength === end - start + 1) return;
  throw new Error(`bytes ${start}-${end} of ${key} were asked for, and ${ContentLength} bytes came`);
}
