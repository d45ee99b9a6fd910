/** A finished ladder takes the place of what played before it. */
import type { Trx } from '../../../db/dialect.ts';
import type { MediaRow } from '../../../db/schema.ts';
import { hlsOutputs, supersede, type HlsOutput } from '../../media/growing.ts';
import { isBetter } from '../../media/output.ts';
import type { VideoRendition } from '../../hls/model.ts';
import { rungsOf, type Rung } from '../encode/ladder.ts';
import type { Config } from '../../config.ts';
import type { Source } from '../../media/source.ts';
import { addRetire } from './retire.ts';

/**
 * The output whose rungs the ladder of this source has not to make again, nor its sounds: what `first` makes or made, or
 * a copy that serves as the top rung.
 */
export function foundation(
  outputs: readonly HlsOutput[],
  source: Source,
  encoding: Config['encoding'],
): HlsOutput | undefined {
  const rungs = rungsOf(source, encoding.ladder);
  return outputs.find(
    ({ kind, details: { supersededAt, kept, variants } }) =>
      (kind === 'first' || (kind === 'copy' && kept)) &&
      supersededAt === undefined &&
      variants.every((v) => rungs.some((rung) => isSame(rung, v))),
  );
}

const isSame = (rung: Rung, { name, width, height }: VideoRendition): boolean =>
  rung.name === name && rung.width === width && rung.height === height;

/** The rungs that are left for the ladder. */
export const missingRungs = (
  built: HlsOutput | undefined,
  source: Source,
  { ladder }: Config['encoding'],
): Rung[] => rungsOf(source, ladder).filter((rung) => !built?.details.variants.some((v) => isSame(rung, v)));

/** Takes every other output out of the multivariant playlist but the ladder's foundation. In the ladder's commit. */
export async function supersedeOthers(
  trx: Trx,
  media: MediaRow,
  source: Source,
  encoding: Config['encoding'],
): Promise<void> {
  const outputs = await hlsOutputs(trx, media.id);
  const kept = foundation(outputs, source, encoding);
  const others = outputs.filter((o) => o.kind !== 'ladder' && !isBetter(o) && o.id !== kept?.id);
  if (await supersede(trx, others)) await addRetire(trx, media);
}
