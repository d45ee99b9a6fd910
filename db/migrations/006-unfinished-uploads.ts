import { sql, type Kysely } from 'kysely';

/** Counting an owner's unfinished uploads, and the bytes they were announced to have, looks at no others. */
export async function up(db: Kysely<never>): Promise<void> {
  await sql`
    create index upload_unfinished on upload ("owner")
    where ("state" in ('receiving', 'assembling') or ("state" = 'complete' and "kind" = 'partial'))`.execute(
    db,
  );
}
