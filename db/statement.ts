/** Statements that run thousands of times a second: their text is made once per database, not built for each run. */
import { CompiledQuery } from 'kysely';
import { isPostgres, type Db } from './dialect.ts';

/** Runs the statement; rows have camelCase names, as everywhere. */
export type Statement<Row> = (db: Db, ...parameters: unknown[]) => Promise<Row[]>;

/**
 * A statement of hand-written SQL with `?` for each parameter and snake_case names. `text` is asked once for each
 * database; no value may be part of it.
 *
 * Where SQLite has statistics (ANALYZE), it compiles a statement anew for each value that is compared with an indexed
 * column, because the value may ask for another plan: many times the work of running it. One inside of a `cast` it does
 * not look at (SQLite's C interface, "Compiling An SQL Statement": what sqlite3_prepare_v2 does under STAT4).
 */
export function statement<Row>(text: (postgres: boolean) => string): Statement<Row> {
  const texts = new Map<boolean, string>();
  return async (db, ...parameters) => {
    const postgres = isPostgres(db);
    let sql = texts.get(postgres);
    if (sql === undefined) texts.set(postgres, (sql = numbered(text(postgres), postgres)));
    const { rows } = await db.executeQuery<Row>(CompiledQuery.raw(sql, parameters));
    return rows;
  };
}

/** PostgreSQL numbers its parameters: $1, $2, … */
function numbered(text: string, postgres: boolean): string {
  let n = 0;
  return postgres ? text.replaceAll('?', () => `$${++n}`) : text;
}
