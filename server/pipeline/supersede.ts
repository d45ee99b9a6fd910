/** A finished ladder takes the place of what played before it. */
import type { Trx } from '../../db/dialect.ts';
import type { MediaRow } from '../../db/schema.ts';
import { hlsOutputs, supersede, type HlsOutput } from '../media/growing.ts';
import { rungsOf } from './ladder.ts';
import type { Config } from '../config.ts';
import type { Source } from '../media/source.ts';
import { addRetire } from './retire.ts';

/** What `first` makes or made, when the ladder of this source builds upon it: some of its rungs, and not all. */
export function foundation(
  outputs: readonly HlsOutput[],
  source: Source,
  encoding: Config['encoding'],
): HlsOutput | undefined {
  const rungs = rungsOf(source, encoding.ladder);
  const first = outputs.find(({ kind, details }) => kind === 'first' && details.supersededAt === undefined);
  if (!first) return undefined;
  const { variants } = first.details;
  const fits = variants.every((v) =>
    rungs.some(({ name, width, height }) => v.name === name && v.width === width && v.height === height),
  );
  return fits && variants.length < rungs.length ? first : undefined;
}

/** Takes every other output out of the multivariant playlist but the ladder's foundation. In the ladder's commit. */
export async function supersedeOthers(
  trx: Trx,
  media: MediaRow,
  source: Source,
  encoding: Config['encoding'],
): Promise<void> {
  const outputs = await hlsOutputs(trx, media.id);
  const kept = foundation(outputs, source, encoding);
  const others = outputs.filter(({ id, kind }) => kind !== 'ladder' && id !== kept?.id);
  if (await supersede(trx, others)) await addRetire(trx, media);
}
