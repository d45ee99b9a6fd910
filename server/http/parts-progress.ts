/** How far a stream is that many jobs make at once. */
import type { JobRow, OutputRow } from '../../db/schema.ts';
import type { HlsDetails } from '../hls/model.ts';
import type { JobProgress } from '../jobs/job.ts';
import { isHls } from '../media/output.ts';

/** An output of which a part is missing without which it can't be played: nobody is told of it. */
export const isOpening = (output: OutputRow): boolean =>
  isHls(output) && (JSON.parse(output.details) as HlsDetails).state === 'opening';

/** All parts together. `open`: the `chunk` jobs that are queued or running; the others of the output have ended. */
export function progressOfParts(
  open: readonly JobRow[],
  outputs: readonly OutputRow[],
): JobProgress & { step: string } {
  const { kind } = JSON.parse(open[0]?.payload ?? '{}') as { kind?: string };
  const own = open.filter(({ payload }) => (JSON.parse(payload) as { kind?: string }).kind === kind);
  const filled = outputs.filter(isHls).find((output) => output.kind === kind);
  const { parts = [] } = JSON.parse(filled?.details ?? '{}') as Partial<HlsDetails>;
  const total = Math.max(parts.length, own.length);
  const running = own.flatMap(({ progress }) => (progress ? [JSON.parse(progress) as JobProgress] : []));
  const sum = running.reduce((all, { percent }) => all + percent, (total - own.length) * 100);
  return {
    percent: Math.floor((sum / total) * 10) / 10,
    stage: `Encoding in ${total} parts`,
    step: kind ?? 'chunk',
  };
}
