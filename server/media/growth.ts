/** Waits for segments of outputs that grow. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from '../../db/dialect.ts';
import type { HlsDetails } from '../hls/model.ts';

/** Segments of a rendition that follow those it has: viewers see none behind one that is missing. */
export interface AwaitedSegments {
  outputId: string;
  rendition: string;
  /** The first and the last of them, counted from 0. */
  first: number;
  last: number;
}

export interface Growth {
  /**
   * Resolves when there is something new to see: the segments, or an output that does not grow any more, or a database that can't
   * be asked. And when `signal` aborts. Never rejects.
   */
  reaches(segments: AwaitedSegments, signal: AbortSignal): Promise<void>;
}

interface Waiter extends AwaitedSegments {
  release: () => void;
}

/** One loop asks the database for all who wait, whoever makes the segments; nothing while nobody waits. */
export function createGrowth(db: Db, pollMs = 200): Growth {
  const waiters = new Set<Waiter>();
  let looping = false;

  const look = async (): Promise<void> => {
    const asking = [...waiters];
    const [growing, there] = await Promise.all([growingAmong(db, asking), segmentsAmong(db, asking)]);
    for (const waiter of asking)
      if (!growing.has(waiter.outputId) || keysOf(waiter).every((key) => there.has(key))) waiter.release();
  };
  const loop = async (): Promise<void> => {
    looping = true;
    while (waiters.size) {
      await look().catch(() => waiters.forEach(({ release }) => release())); // who asks next meets the error itself
      await sleep(pollMs);
    }
    looping = false;
  };

  return {
    reaches: (segments, signal) =>
      new Promise((resolve) => {
        const release = (): void => {
          waiters.delete(waiter);
          signal.removeEventListener('abort', release);
          resolve();
        };
        const waiter = { ...segments, release };
        if (signal.aborted) return resolve();
        signal.addEventListener('abort', release);
        waiters.add(waiter);
        if (!looping) void loop();
      }),
  };
}

const outputsOf = (asked: readonly AwaitedSegments[]): string[] => [
  ...new Set(asked.map(({ outputId }) => outputId)),
];

async function growingAmong(db: Db, asked: readonly AwaitedSegments[]): Promise<Set<string>> {
  const rows = await db
    .selectFrom('output')
    .select(['id', 'details'])
    .where('id', 'in', outputsOf(asked))
    .execute();
  return new Set(
    rows.filter((row) => (JSON.parse(row.details) as HlsDetails).state === 'growing').map(({ id }) => id),
  );
}

/** The keys of those that are there. */
async function segmentsAmong(db: Db, asked: readonly AwaitedSegments[]): Promise<Set<string>> {
  const rows = await db
    .selectFrom('segment')
    .select(['outputId', 'rendition', 'sequence'])
    .where('outputId', 'in', outputsOf(asked))
    .where('sequence', 'in', [...new Set(asked.flatMap(sequencesOf))])
    .execute();
  return new Set(rows.map((row) => keyOf(row, row.sequence)));
}

const sequencesOf = ({ first, last }: AwaitedSegments): number[] =>
  Array.from({ length: last - first + 1 }, (_, n) => first + n);

const keysOf = (asked: AwaitedSegments): string[] =>
  sequencesOf(asked).map((sequence) => keyOf(asked, sequence));

const keyOf = (
  { outputId, rendition }: Pick<AwaitedSegments, 'outputId' | 'rendition'>,
  sequence: number,
): string => `${outputId}/${rendition}/${sequence}`;
