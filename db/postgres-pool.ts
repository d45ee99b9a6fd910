/** Connections to PostgreSQL, and what becomes of those that a network or a server lost. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresPool, PostgresPoolClient } from 'kysely';
import pg from 'pg';

export interface PoolOptions {
  /** postgres:// URL. */
  url: string;
  /** Connections, at most. */
  size: number;
  /**
   * Milliseconds that a statement may take: when its answer does not come, its connection is given up. Infinity: as long
   * as it likes.
   */
  answerMs: number;
  /** Told when the server has no more connections, and how many there are to make do with. */
  onShortage?: ((connections: number) => void) | undefined;
}

/** How long to wait for a connection, a new one or one that is free again. */
const CONNECT_MS = 10_000;
/** SQLSTATE too_many_connections: the server has no more, or no more for this user. */
const TOO_MANY_CONNECTIONS = '53300';
/** How long the pool makes do with what it has then, before it asks for more. */
const SHORTAGE_MS = 30_000;
/** Until one that has none tries again. */
const RETRY_MS = 200;
const INT8 = 20;

/** What Kysely's driver takes. Connects when it is asked for the first connection. */
export function postgresPool({ url, size, answerMs, onShortage }: PoolOptions): PostgresPool {
  const pool = new pg.Pool({
    connectionString: url,
    max: size,
    connectionTimeoutMillis: Math.min(CONNECT_MS, answerMs),
    types: {
      getTypeParser: (oid: number, format?: 'text' | 'binary') =>
        oid === INT8 ? Number : (pg.types.getTypeParser(oid, format) as (value: string) => unknown),
    },
  });
  // A connection that dies while idle is replaced by the pool; without a listener it would end the process.
  pool.on('error', () => undefined);
  const connect = makingDo(pool, { size, waitMs: Math.min(CONNECT_MS, answerMs), onShortage });
  const prepared = new WeakSet<pg.PoolClient>();
  return {
    async connect() {
      const client = await connect();
      const loan = new Loan(client, answerMs);
      if (answerMs < Infinity && !prepared.has(client)) await loan.first(leaveNoLocks(answerMs));
      prepared.add(client);
      return loan as unknown as PostgresPoolClient; // of its two ways to query, cursors are not used
    },
    end: () => pool.end(),
  };
}

/**
 * Takes a connection of the pool. Where the server has no more of them, waits until one is free that is there, here or in
 * another process, as long as in a pool that is used up: many processes whose pools together are too large for a server are slow,
 * but work.
 */
function makingDo(
  pool: pg.Pool,
  { size, waitMs, onShortage }: Pick<PoolOptions, 'size' | 'onShortage'> & { waitMs: number },
): () => Promise<pg.PoolClient> {
  let connected = 0; // the pool counts those as well that it is still trying to connect
  pool.on('connect', () => connected++).on('remove', () => connected--);
  let short = false;
  const shrink = (): void => {
    pool.options.max = Math.max(1, connected);
    if (short) return;
    short = true;
    setTimeout(() => {
      short = false;
      pool.options.max = size;
    }, SHORTAGE_MS).unref();
    onShortage?.(connected);
  };
  return async () => {
    for (const deadline = Date.now() + waitMs; ;) {
      try {
        return await pool.connect();
      } catch (error) {
        if ((error as pg.DatabaseError).code !== TOO_MANY_CONNECTIONS || Date.now() >= deadline) throw error;
        shrink();
        if (connected === 0) await sleep(RETRY_MS);
      }
    }
  };
}

/**
 * PostgreSQL ends a transaction that waits for its next statement for so long. Ours never wait; but a process behind a network
 * that is gone would keep its locks, and everybody else waiting, until TCP gives up: two hours.
 */
const leaveNoLocks = (ms: number): string => `set idle_in_transaction_session_timeout = ${ms}`;

/** A connection while somebody works with it. Once it broke, every statement fails with what broke it, and it is not lent again. */
class Loan {
  readonly #client: pg.PoolClient;
  readonly #answerMs: number;
  #broken: Error | undefined;
  #returned = false;

  constructor(client: pg.PoolClient, answerMs: number) {
    this.#client = client;
    this.#answerMs = answerMs;
    client.on('error', this.#onError);
  }

  async query(text: string, parameters: readonly unknown[] = []): Promise<pg.QueryResult> {
    if (this.#broken) throw this.#broken;
    const timer = this.#answerMs < Infinity ? setTimeout(this.#onSilence, this.#answerMs) : undefined;
    try {
      return await this.#client.query(text, [...parameters]);
    } catch (error) {
      // "FATAL: Reports an error that caused the current session to be aborted."
      if ((error as pg.DatabaseError).severity === 'FATAL') this.#onError(error as Error);
      throw this.#broken ?? error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** A statement before anybody gets the connection. */
  async first(text: string): Promise<void> {
    await this.query(text).catch((error: Error) => {
      this.#onError(error);
      this.release();
      throw error;
    });
  }

  release(): void {
    if (this.#returned) return;
    this.#returned = true;
    this.#client.release(this.#broken); // what broke is ended, with the statement that it is at
    if (!this.#broken) this.#client.off('error', this.#onError);
  }

  /** While a connection is lent the pool does not listen, and an error that nobody listens to ends the process. */
  readonly #onError = (error: Error): void => void (this.#broken ??= error);

  readonly #onSilence = (): void => {
    const error = new Error(`PostgreSQL did not answer within ${this.#answerMs / 1000} s`);
    this.#onError(Object.assign(error, { code: 'ETIMEDOUT' }));
    this.release();
  };
}
