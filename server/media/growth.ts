/** Waits for segments of outputs that grow. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from '../../db/dialect.ts';
import type { HlsDetails } from '../hls/model.ts';

export interface AwaitedSegment {
  outputId: string;
  rendition: string;
  /** From 0. */
  sequence: number;
}

export interface Growth {
  /**
   * Resolves when there is something new to see: the segment, or an output that does not grow any more, or a database that can't
   * be asked. And when `signal` aborts. Never rejects.
   */
  reaches(segment: AwaitedSegment, signal: AbortSignal): Promise<void>;
}

interface Waiter extends AwaitedSegment {
  release: () => void;
}

/** One loop asks the database for all who wait, whoever makes the segments; nothing while nobody waits. */
export function createGrowth(db: Db, pollMs = 200): Growth {
  const waiters = new Set<Waiter>();
  let looping = false;

  const look = async (): Promise<void> => {
    const ids = [...new Set([...waiters].map(({ outputId }) => outputId))];
    const [growing, reached] = await Promise.all([growingAmong(db, ids), lastSegments(db, ids)]);
    for (const waiter of waiters) {
      const last = reached.get(keyOf(waiter)) ?? -1;
      if (last >= waiter.sequence || !growing.has(waiter.outputId)) waiter.release();
    }
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
    reaches: (segment, signal) =>
      new Promise((resolve) => {
        const release = (): void => {
          waiters.delete(waiter);
          signal.removeEventListener('abort', release);
          resolve();
        };
        const waiter = { ...segment, release };
        if (signal.aborted) return resolve();
        signal.addEventListener('abort', release);
        waiters.add(waiter);
        if (!looping) void loop();
      }),
  };
}

async function growingAmong(db: Db, ids: readonly string[]): Promise<Set<string>> {
  const rows = await db.selectFrom('output').select(['id', 'details']).where('id', 'in', ids).execute();
  return new Set(
    rows.filter((row) => (JSON.parse(row.details) as HlsDetails).state === 'growing').map(({ id }) => id),
  );
}

/** Of each rendition the sequence of its last segment. */
async function lastSegments(db: Db, ids: readonly string[]): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom('segment')
    .select(({ fn }) => ['outputId', 'rendition', fn.max('sequence').as('last')])
    .where('outputId', 'in', ids)
    .groupBy(['outputId', 'rendition'])
    .execute();
  return new Map(rows.map((row) => [keyOf(row), row.last]));
}

const keyOf = ({ outputId, rendition }: { outputId: string; rendition: string }): string =>
  `${outputId}/${rendition}`;
