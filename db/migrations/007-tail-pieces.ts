import { sql, type Kysely } from 'kysely';

/** The tail of an upload to S3 is a list of objects: JSON of `TailPiece[]`. */
export async function up(db: Kysely<never>): Promise<void> {
  await db.schema.alterTable('upload').renameColumn('tail_key', 'tail').execute();
  await sql`update upload set tail = '[{"key":"' || tail || '","size":' || tail_size || ',"level":0}]'
            where tail is not null`.execute(db);
}
