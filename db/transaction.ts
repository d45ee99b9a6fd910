/** Transactions with hooks: work that must come last before a commit, and news that may only go out after it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { transactionOf, type Db, type Trx } from './dialect.ts';

type BeforeCommit = (trx: Trx) => Promise<void>;
/** Told of a transaction that is over: it says which, and runs nothing any more. */
export type CommitListener = (trx: Trx) => void;

const pending = new WeakMap<Trx, Map<unknown, BeforeCommit>>();
const listeners = new WeakMap<Db, Set<CommitListener>>();

/** PostgreSQL: serialization_failure, deadlock_detected. The transaction had no effect and may run again. */
const TRY_AGAIN = new Set(['40001', '40P01']);

export interface TransactOptions {
  /** False: a power cut may forget it (see `transactionOf`). Only for what nobody was promised. Default true. */
  durable?: boolean;
}

/**
 * Runs `work` in one transaction and returns its result. `work` may run again when the database says so:
 * it must touch nothing but the transaction, and never await network, FFmpeg or disk.
 */
export async function transact<T>(
  db: Db,
  work: (trx: Trx) => Promise<T>,
  { durable = true }: TransactOptions = {},
): Promise<T> {
  for (let round = 1; ; round++) {
    const hooks = new Map<unknown, BeforeCommit>();
    try {
      const { result, trx } = await transactionOf(db, durable).execute(async (trx) => {
        pending.set(trx, hooks);
        const result = await work(trx);
        for (const hook of hooks.values()) await hook(trx);
        return { result, trx };
      });
      if (hooks.size) for (const listener of listeners.get(db) ?? []) listener(trx);
      return result;
    } catch (error) {
      const code = (error as { code?: unknown } | null)?.code;
      if (round >= 8 || typeof code !== 'string' || !TRY_AGAIN.has(code)) throw error;
      await sleep(Math.random() * 20 * round); // or the same transactions would meet again
    }
  }
}

/** Runs `hook` as the last thing before this transaction commits; once per `key`. Only inside `transact`. */
export function beforeCommit(trx: Trx, key: unknown, hook: BeforeCommit): void {
  const hooks = pending.get(trx);
  if (!hooks) throw new Error('beforeCommit needs a transaction started by transact()');
  hooks.set(key, hook);
}

/**
 * Calls `listener` after each commit of this process on `db` that had a `beforeCommit` hook, as all that emit
 * events have. A hint to look, not a delivery. Returns its removal.
 */
export function onCommit(db: Db, listener: CommitListener): () => void {
  const set = listeners.get(db) ?? new Set();
  listeners.set(db, set.add(listener));
  return () => set.delete(listener);
}
