/** Claims that walk over nothing but what is due, finished jobs that can be pruned, sources that can be deleted. */
import { sql, type Kysely } from 'kysely';

export async function up(db: Kysely<never>): Promise<void> {
  await db.schema
    .alterTable('job')
    .addColumn('delayed', 'integer', (c) => c.notNull().defaultTo(0))
    .execute();
  await sql`drop index job_ready`.execute(db);
  await sql`create index job_ready on job (priority desc, turn, run_at, id)
            where status = 'queued' and delayed = 0`.execute(db);
  await sql`create index job_delayed on job (run_at) where status = 'queued' and delayed = 1`.execute(db);
  await sql`create index job_finished on job (finished_at) where finished_at is not null`.execute(db);
  // Events are pruned in the order of their ids, which is that of time.
  await sql`drop index event_created`.execute(db);

  await db.schema.alterTable('media').addColumn('source_deleted_at', 'bigint').execute();
}
