/** Stores a finished folder under a prefix of its own, whole or not at all. */
import { readdir, stat } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import type { Commit } from '../../jobs/job.ts';
import { newOutputId, publishOutput, type NewOutput, type OutputKind } from '../../media/output.ts';
import { outputPrefix } from '../../storage/storage.ts';
import type { StepContext } from '../step.ts';
import { atOnce } from './at-once.ts';

/** Media types of what is stored. */
export const TYPES: Record<string, string> = {
  '.m3u8': 'application/vnd.apple.mpegurl',
  '.mp4': 'video/mp4',
  '.m4s': 'video/iso.segment',
  '.jpg': 'image/jpeg',
  '.webp': 'image/webp',
  '.json': 'application/json',
  '.vtt': 'text/vtt; charset=utf-8',
  '.m4a': 'audio/mp4',
};

/**
 * Stores all files of `folder`; resolves with the commit that makes them visible. When storing fails, what was stored is
 * removed. (What a killed process leaves is removed by the `tidy` job.)
 */
export async function publish(
  ctx: StepContext,
  folder: string,
  kind: OutputKind,
  details: NewOutput['details'],
): Promise<Commit> {
  const { media } = ctx;
  const id = newOutputId();
  const prefix = outputPrefix(media.id, id);
  let bytes: number;
  try {
    bytes = await storeFolder(ctx, folder, prefix);
  } catch (error) {
    await withdrawFiles(ctx, prefix);
    throw error;
  }
  const { id: mediaId, attempt: mediaAttempt, owner } = media;
  return (trx) => publishOutput(trx, { id, mediaId, mediaAttempt, owner, kind, prefix, bytes, details });
}

/**
 * Removes what an attempt that failed has stored. One that was told to stop doesn't: storage may be slow, and whatever
 * ended it (a cancel, a deletion, the media's next attempt) has a job that removes what no row names.
 */
export async function withdrawFiles(
  { storage, signal, logger }: Pick<StepContext, 'storage' | 'signal' | 'logger'>,
  prefix: string,
): Promise<void> {
  if (signal.aborted) return;
  await storage
    .deletePrefix(prefix)
    .catch((err: unknown) => logger.warn({ err, prefix }, 'left behind, to be tidied later'));
}

async function storeFolder(ctx: StepContext, folder: string, prefix: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((e) => e.isFile()).map((e) => join(e.parentPath, e.name));
  let bytes = 0;
  await atOnce(files, async (path) => {
    ctx.signal.throwIfAborted();
    const { size } = await stat(path);
    bytes += size;
    const key = prefix + relative(folder, path).split(sep).join('/');
    await ctx.storage.putFile(key, path, { contentType: TYPES[extname(path)] }, ctx.signal);
  });
  return bytes;
}
