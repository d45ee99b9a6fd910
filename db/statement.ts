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
    const values = postgres ? parameters : parameters.map(listAsJson);
    const { rows } = await db.executeQuery<Row>(CompiledQuery.raw(sql, values));
    return rows;
  };
}

/** Inserts a row into `table` and resolves with it as it is stored; what is undefined gets the column's default. */
export function insertion<Row extends object, New extends Partial<Row> = Row>(
  table: string,
): (db: Db, row: New) => Promise<Row> {
  const inserts = new Map<string, Statement<Row>>();
  return async (db, row) => {
    const given = Object.entries<unknown>({ ...row }).filter(([, value]) => value !== undefined);
    const columns = given.map(([name]) => columnOf(name));
    const key = columns.join(', ');
    const insert =
      inserts.get(key) ??
      statement<Row>(
        () => `insert into ${table} (${key}) values (${columns.map(() => '?').join(', ')}) returning *`,
      );
    inserts.set(key, insert);
    const [stored] = await insert(db, ...given.map(([, value]) => value));
    if (!stored) throw new Error(`nothing was inserted into ${table}`);
    return stored;
  };
}

/** The quoted name in the database of a column that is written in camelCase here. */
export const columnOf = (name: string): string =>
  `"${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}"`;

/** A condition with one parameter, a list of strings: the text is the same however many there are. */
export const among = (column: string, postgres: boolean): string =>
  postgres ? `${column} = any(?::text[])` : `${column} in (select value from json_each(?))`;

const listAsJson = (value: unknown): unknown => (Array.isArray(value) ? JSON.stringify(value) : value);

/** PostgreSQL numbers its parameters: $1, $2, … */
function numbered(text: string, postgres: boolean): string {
  let n = 0;
  return postgres ? text.replaceAll('?', () => `$${++n}`) : text;
}
