/** An upload while it arrives: its first bytes, then all of them as often as they are asked for, then the whole. */
import { join } from 'node:path';
import { Unfit } from '../encode/copying.ts';
import { headSize } from '../source/head.ts';
import { spool } from './spool.ts';
import type { StepContext } from '../step.ts';

/** The upload engine, as far as it tells of uploads that arrive. Both throw `PrefixEnded` when one doesn't go on. */
export interface Arriving {
  /** The bytes as they come, from the first to the last. A chunk is good until the next one is asked for. */
  read(uploadId: string, signal: AbortSignal): AsyncGenerator<Buffer, void, undefined>;
  /** Resolves when the upload is complete, with the key of its object. */
  whole(uploadId: string, signal: AbortSignal): Promise<string>;
}

export interface Arrival {
  /** From the first byte to the last, as they come. A chunk is good until the next one is asked for. */
  read(signal: AbortSignal): AsyncGenerator<Buffer, void, undefined>;
  /** The local path of the whole, once it is there. */
  whole(): Promise<string>;
  /** Resolves when nothing is written into scratch any more. Abort the signal first. */
  closed(): Promise<void>;
}

type Place = Pick<StepContext, 'media' | 'storage' | 'scratch'>;

/** Follows the upload of a media until `signal` says stop. Where it is remote, scratch gets a copy of all of it. */
export function openArrival(ctx: Place, arriving: Arriving, signal: AbortSignal): Arrival {
  const { id } = ctx.media;
  if (ctx.storage.driver === 'disk')
    return {
      read: (until) => arriving.read(id, until),
      whole: async () => ctx.storage.localPath(await arriving.whole(id, signal), ctx.scratch, signal),
      closed: () => Promise.resolve(),
    };
  // What is fetched once serves every reader, and the probe.
  const { path, read, filled } = spool(arriving.read(id, signal), join(ctx.scratch, 'source'));
  return {
    read,
    whole: () => filled.then(() => path),
    closed: () => filled.catch(() => undefined), // its readers were told
  };
}

/**
 * The first bytes, as many as tell what follows; fewer when there are no more. Throws `Unfit` when a file that begins so
 * can't be read from its front.
 */
export async function readHead(chunks: AsyncGenerator<Buffer, void, undefined>): Promise<Buffer> {
  let read: Buffer[] = [];
  let size = 0;
  let wanted = 1024;
  for await (const chunk of chunks) {
    read.push(Buffer.from(chunk));
    size += chunk.length;
    while (wanted <= size) {
      const head = Buffer.concat(read);
      const whole = headSize(head);
      if (whole === undefined) throw new Unfit('it can not be read from its front');
      if (whole <= size) return head;
      read = [head];
      wanted = whole;
    }
  }
  return Buffer.concat(read);
}
