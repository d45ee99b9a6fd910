/** The end of a stream that was encoded in parts: the playlists of the whole. No byte of a segment is touched. */
import { iframePlaylistOf, iframeRatesOf, playlistOf, ratesOf } from '../../hls/media-playlist.ts';
import type { HlsDetails, StoredSegment } from '../../hls/model.ts';
import type { Commit } from '../../jobs/job.ts';
import { segmentsOf, type HlsOutput } from '../../media/growing.ts';
import { publishOutput } from '../../media/output.ts';
import { refuseShort } from '../output/encode-stream.ts';
import { supersedeOthers } from '../output/supersede.ts';
import { openedOutput, type PartPayload } from '../parts/parts.ts';
import { TYPES } from '../output/publish.ts';
import type { Step, StepContext } from '../step.ts';

export const joinStep: Step = {
  name: 'join',
  priority: 10,
  required: true,
  fromStored: true,
  // Its job is added when the last part has ended.
  done: () => true,
  due: () => false,
  run: runJoin,
};

/** Makes the output whole that the job's payload names. */
export async function runJoin(ctx: StepContext): Promise<Commit> {
  const { kind } = ctx.payload as unknown as PartPayload;
  const output = await openedOutput(ctx.db, ctx.media, kind);
  if (!output) return () => Promise.resolve();
  ctx.progress({ percent: 99.9, stage: 'Joining' });
  const segments = new Map<string, StoredSegment[]>();
  for (const { name } of [...output.details.variants, ...output.details.audio])
    segments.set(name, await segmentsOf(ctx.db, output.id, name));
  const details = wholeDetails(output, segments);
  refuseShort(ctx.source(), details.duration);
  await storePlaylists(ctx, output, details, segments);
  const bytes = [...segments.values()].flat().reduce((sum, segment) => sum + segment.bytes, 0);
  const { owner } = ctx.media;
  return async (trx) => {
    await publishOutput(trx, { ...output, owner, kind, bytes, details });
    if (kind === 'ladder') await supersedeOthers(trx, ctx.media, ctx.source(), ctx.encoding);
  };
}

/** Sounds of which nothing could be decoded are left out. */
function wholeDetails({ details }: HlsOutput, segments: ReadonlyMap<string, StoredSegment[]>): HlsDetails {
  const of = (name: string): StoredSegment[] => segments.get(name) ?? [];
  const [top] = details.variants;
  return {
    state: 'complete',
    duration: of(top?.name ?? '').reduce((sum, { duration }) => sum + duration, 0),
    variants: details.variants.map((variant) => ({
      ...variant,
      ...ratesOf(of(variant.name)),
      iframes: iframeRatesOf(of(variant.name)),
    })),
    audio: details.audio
      .filter(({ name }) => of(name).length)
      .map((sound) => ({ ...sound, ...ratesOf(of(sound.name)) })),
  };
}

async function storePlaylists(
  { storage, signal }: StepContext,
  { prefix }: HlsOutput,
  details: HlsDetails,
  segments: ReadonlyMap<string, StoredSegment[]>,
): Promise<void> {
  const put = (name: string, file: string, text: string): Promise<void> =>
    storage.put(`${prefix}${name}/${file}`, text, { contentType: TYPES['.m3u8'] ?? '' }, signal);
  for (const { name } of [...details.variants, ...details.audio])
    await put(name, 'index.m3u8', playlistOf(segments.get(name) ?? [], false));
  for (const { name } of details.variants)
    await put(name, 'iframes.m3u8', iframePlaylistOf(segments.get(name) ?? []));
}
