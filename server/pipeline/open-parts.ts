/** Opens an output for the parts of a long stream: its first seconds are encoded here, the rest by other jobs. */
import type { HlsDetails } from '../hls/model.ts';
import type { Commit } from '../jobs/job.ts';
import { addSegments } from '../media/growing.ts';
import { newOutputId, publishOutput } from '../media/output.ts';
import { outputPrefix } from '../storage/storage.ts';
import { AAC_LC, planEncode } from './encode.ts';
import { encodeChunk } from './encode-chunk.ts';
import { frameRate, type Rung } from './ladder.ts';
import { addParts, chunksOf, openedOutput, reveal, type PartPayload } from './parts.ts';
import type { StepContext } from './step.ts';
import { growingPicture, growingSound } from './stream.ts';

/**
 * Encodes the head and resolves with the commit that opens the output. Undefined when the source should be encoded in
 * one piece: it is short, can't be cut without a seam, or was tried in parts that did not fit.
 */
export async function inParts(
  ctx: StepContext,
  { kind, priority }: Pick<PartPayload, 'kind' | 'priority'>,
  wanted: { rungs: readonly Rung[]; audio: boolean },
): Promise<Commit | undefined> {
  const { media } = ctx;
  const source = ctx.source();
  const [head, ...rest] = ctx.payload.whole ? [] : (chunksOf(source, ctx.encoding) ?? []);
  if (!head || !source.video) return undefined;
  const id = newOutputId();
  const prefix = outputPrefix(media.id, id);
  const codecs = new Map<string, string>();
  const segments = await encodeChunk(ctx, {
    ...{ rungs: wanted.rungs, chunk: head, prefix, isHead: true },
    onWritten: (writers) => writers.forEach((writer) => codecs.set(writer.name, writer.codecs)),
  });
  if (!segments) return undefined;
  const plan = planEncode(source, { ...wanted, rate: frameRate(source.video) }, ctx.encoding);
  const parts: PartPayload['part'][] = [
    ...(plan.audio.length ? ['sound' as const] : []),
    ...rest.map((c) => c.index),
  ];
  const details: HlsDetails = {
    state: 'opening',
    duration: source.duration,
    variants: plan.video.map((planned) => growingPicture(planned, codecs.get(planned.name) ?? '')),
    audio: plan.audio.map((planned) => growingSound(planned, AAC_LC)),
    parts,
  };
  const { id: mediaId, attempt: mediaAttempt, owner } = media;
  return async (trx) => {
    await publishOutput(trx, { id, mediaId, mediaAttempt, owner, kind, prefix, bytes: 0, details });
    await addSegments(trx, id, segments);
    await addParts(trx, media, { kind, priority }, details);
    const opened = await openedOutput(trx, media, kind);
    if (opened) await reveal(trx, media, opened);
  };
}
