/**
 * What the database alone can do: the row changes of a claim and of a completion, events included, by the bare driver
 * with prepared statements. No queue on this database can be faster.
 */
import pg from 'pg';
import { EVENT_LOCK } from '../db/dialect.ts';
import { SqliteDatabase } from '../db/sqlite-driver.ts';
import type { TestDatabase } from '../test/databases.ts';

const CLAIM = (token: string) => `
  update job set status = 'running', attempts = attempts + 1, worker = 'w', lease_token = ${token},
                 lease_until = 1, started_at = 1
   where id = (select id from job where status = 'queued' and delayed = 0 and run_at <= 9999999999999
                and task in ('bench') and priority >= 0 order by priority desc, turn, run_at, id limit 1`;
const COMPLETE = (id: string, token: string) => `
  update job set status = 'succeeded', worker = null, lease_token = null, lease_until = null, finished_at = 1
   where id = ${id} and lease_token = ${token} and status = 'running' and cancel_requested = 0 returning *`;
const EVENT = 'insert into event (type, owner, media_id, job_id, payload, created_at) values';

interface Row {
  id: string;
  owner: string | null;
}
const told = ({ id }: Row): string =>
  JSON.stringify({ jobId: id, task: 'bench', status: 'running', attempts: 1 });

/** Runs all jobs that are due; returns how many there were. One client. */
export async function runBare({ dialect, file, url }: TestDatabase): Promise<number> {
  return dialect === 'sqlite' ? runSqlite(file) : runPostgres(url!);
}

/** As our queue's: a power cut may forget these commits. */
function runSqlite(file: string): number {
  const db = new SqliteDatabase(file);
  db.pragma('synchronous = normal');
  const claim = db.prepare<[string], Row>(`${CLAIM('?')}) returning *`);
  const complete = db.prepare<[string, string], Row>(COMPLETE('?', '?'));
  const event = db.prepare(`${EVENT} ('job.status', ?, null, ?, ?, 1)`);
  const both = db.transaction((row: Row) => event.run(row.owner, row.id, told(row)));
  const take = db.transaction((token: string) => {
    const row = claim.get(token);
    if (row) both(row);
    return row;
  });
  const end = db.transaction((row: Row, token: string) => {
    complete.get(row.id, token);
    both(row);
  });
  let count = 0;
  for (; ; count++) {
    const row = take.immediate(`token${count}`);
    if (!row) break;
    end.immediate(row, `token${count}`);
  }
  db.close();
  return count;
}

async function runPostgres(url: string): Promise<number> {
  const client = new pg.Client(url);
  await client.connect();
  const tell = async (row: Row) => {
    await client.query({ name: 'lock', text: `select pg_advisory_xact_lock(${EVENT_LOCK})` });
    const values = [row.owner, row.id, told(row)];
    await client.query({ name: 'event', text: `${EVENT} ('job.status', $1, null, $2, $3, 1)`, values });
    await client.query('commit');
  };
  let count = 0;
  for (; ; count++) {
    await client.query('begin');
    const text = `${CLAIM('$1')} for update skip locked) returning *`;
    const { rows } = await client.query<Row>({ name: 'claim', text, values: [`token${count}`] });
    if (!rows[0]) break;
    await tell(rows[0]);
    await client.query('begin');
    const values = [rows[0].id, `token${count}`];
    await client.query({ name: 'complete', text: COMPLETE('$1', '$2'), values });
    await tell(rows[0]);
  }
  await client.query('commit');
  await client.end();
  return count;
}
