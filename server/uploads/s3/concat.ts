/** Concatenation on S3: parts of a new multipart upload are copied out of the partials' objects inside the bucket. */
import { buffer } from 'node:stream/consumers';
import type { S3Storage } from '../../storage/s3.ts';
import { planParts, type Segment } from './copy-plan.ts';
import type { Multipart } from './multipart.ts';
import type { StoredPart } from './part-writer.ts';
import { partSizeFor } from './part-size.ts';

export interface Join {
  storage: S3Storage;
  multipart: Multipart;
  /** Where to. */
  key: string;
  uploadId: string;
  /** Where from. */
  sources: { key: string; length: number }[];
  /** The preferred size of parts. */
  partSize: number;
  /** Throws when nothing may be stored any more. */
  check(): void;
}

/** Calls at the same time. */
const PARALLEL = 6;
/** Larger parts need fewer calls, but those over a border go through memory. */
const LARGEST = 64 * 1024 * 1024;
const FEW = 32;

/** Stores all parts and resolves with them; nothing is completed. */
export async function joinObjects(join: Join): Promise<StoredPart[]> {
  const sizes = join.sources.map(({ length }) => length);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const handsome = Math.min(LARGEST, Math.ceil(total / FEW / join.partSize) * join.partSize);
  const plan = planParts(sizes, partSizeFor(total, Math.max(join.partSize, handsome)));
  const stored: StoredPart[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    for (let index; (index = next++) < plan.length;) {
      join.check();
      const segments = plan[index] ?? [];
      const size = segments.reduce((sum, { start, end }) => sum + end - start + 1, 0);
      stored[index] = { number: index + 1, size, etag: await storePart(join, index + 1, segments) };
    }
  };
  const workers = Array.from({ length: Math.min(PARALLEL, plan.length) }, () =>
    work().catch((error: unknown) => {
      next = plan.length; // and the others end before the lease may be given back
      throw error;
    }),
  );
  const failed = (await Promise.allSettled(workers)).find((outcome) => outcome.status === 'rejected');
  if (failed) throw failed.reason;
  return stored;
}

async function storePart(join: Join, number: number, segments: Segment[]): Promise<string> {
  const { storage, multipart, key, uploadId } = join;
  const keyOf = ({ source }: Segment): string => join.sources[source]?.key ?? '';
  const [only, ...others] = segments;
  if (only && !others.length) return multipart.copy(key, uploadId, number, keyOf(only), only);
  const pieces: Buffer[] = [];
  for (const segment of segments) pieces.push(await buffer(await storage.read(keyOf(segment), segment)));
  join.check();
  return (await multipart.upload(key, uploadId, number, Buffer.concat(pieces))).etag;
}
