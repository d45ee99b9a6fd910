/**
 * Fairness between owners, decided when a job is added so that a claim stays one walk along an index.
 *
 * Start-time fair queueing (Goyal, Vin, Cheng, 1996) with all jobs of equal cost: an owner's next job is
 * one turn after its last unfinished one, but never before the turn that is being served. Five hundred
 * uploads of one owner take turns 1 to 500; an upload of somebody else then waits for one of them, not for all.
 */
import { statement } from '../../db/statement.ts';
import type { Trx } from '../../db/dialect.ts';

/**
 * Gives the jobs that one transaction adds their turns, in order. Jobs without an owner are the system's own and never wait
 * behind each other.
 */
export function turnsInOrder(trx: Trx): (owner: string | null, priority: number) => Promise<number> {
  const given = new Map<string, number>();
  return async (owner, priority) => {
    const key = JSON.stringify([owner, priority]);
    const before = given.get(key);
    const turn =
      before === undefined ? await nextTurn(trx, owner, priority) : before + (owner === null ? 0 : 1);
    given.set(key, turn);
    return turn;
  };
}

async function nextTurn(trx: Trx, owner: string | null, priority: number): Promise<number> {
  const [turns] = await turnsOf(trx, owner, priority, priority, priority);
  const { own, queued, served } = turns!;
  return Math.max(own === null ? 0 : own + 1, queued ?? served ?? 0);
}

/** The owner's last one, the first that waits, and the last that runs. Each is the end of an index, or a few rows. */
const turnsOf = statement<{ own: number | null; queued: number | null; served: number | null }>(
  (postgres) => `
  select (select max(turn) from job ${postgres ? '' : 'indexed by job_turn'}
           where owner = cast(? as text) and priority = cast(? as integer) and finished_at is null) as own,
         (select min(turn) from job ${postgres ? '' : 'indexed by job_ready'}
           where status = 'queued' and delayed = 0 and priority = cast(? as integer)) as queued,
         (select max(turn) from job ${postgres ? '' : 'indexed by job_leased'}
           where status = 'running' and priority = cast(? as integer)) as served`,
);
