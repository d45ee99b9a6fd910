/** Outputs that viewers watch while they grow: their segments as rows. */
import type { Db, Trx } from '../../db/dialect.ts';
import type { OutputRow } from '../../db/schema.ts';
import type { HlsDetails, StoredSegment } from '../hls/model.ts';
import { HLS_KINDS } from './output.ts';

export interface NewSegment extends StoredSegment {
  rendition: string;
  /** From 0, without holes. */
  sequence: number;
}

/** Adds segments that are stored to an output that is growing. Those that are there already stay: an earlier attempt's are the same. */
export async function addSegments(
  trx: Trx,
  outputId: string,
  segments: readonly NewSegment[],
): Promise<void> {
  if (!segments.length) return;
  await trx
    .insertInto('segment')
    .values(segments.map((s) => ({ ...s, outputId, keyFrames: JSON.stringify(s.keyFrames) })))
    .onConflict((oc) => oc.doNothing())
    .execute();
}

/** The segments of one rendition of a growing output, in their order, up to the first that is missing. */
export async function segmentsOf(
  db: Db | Trx,
  outputId: string,
  rendition: string,
): Promise<StoredSegment[]> {
  const rows = await db
    .selectFrom('segment')
    .select(['sequence', 'uri', 'duration', 'bytes', 'keyFrames'])
    .where('outputId', '=', outputId)
    .where('rendition', '=', rendition)
    .orderBy('sequence')
    .execute();
  const hole = rows.findIndex(({ sequence }, n) => sequence !== n);
  return rows.slice(0, hole < 0 ? rows.length : hole).map(({ uri, duration, bytes, keyFrames }) => ({
    ...{ uri, duration, bytes },
    keyFrames: JSON.parse(keyFrames) as StoredSegment['keyFrames'],
  }));
}

/** An output of renditions with its details read. */
export interface HlsOutput extends Omit<OutputRow, 'details'> {
  details: HlsDetails;
}

/** The outputs of a media that hold renditions, the oldest first; those that are being opened only when asked for. */
export async function hlsOutputs(
  db: Db | Trx,
  mediaId: string,
  { opening = false }: { opening?: boolean } = {},
): Promise<HlsOutput[]> {
  const rows = await db
    .selectFrom('output')
    .selectAll()
    .where('mediaId', '=', mediaId)
    .where('kind', 'in', [...HLS_KINDS])
    .orderBy('id')
    .execute();
  const outputs = rows.map((row) => ({ ...row, details: JSON.parse(row.details) as HlsDetails }));
  return outputs.filter(({ details }) => opening || details.state !== 'opening');
}

/** Writes new details of an output. */
export async function updateDetails(trx: Trx, id: string, details: HlsDetails): Promise<void> {
  await trx
    .updateTable('output')
    .set({ details: JSON.stringify(details) })
    .where('id', '=', id)
    .execute();
}

/**
 * Takes outputs out of the multivariant playlist. They stay where they are for those who play them; see the
 * `retire` task. Returns how many there were.
 */
export async function supersede(trx: Trx, outputs: readonly HlsOutput[]): Promise<number> {
  const current = outputs.filter(({ details }) => details.supersededAt === undefined);
  for (const { id, details } of current)
    await updateDetails(trx, id, { ...details, supersededAt: Date.now() });
  return current.length;
}
