import type { Kysely } from 'kysely';

/** Digests of whole objects, and uploads made of others (tus concatenation). */
export async function up(db: Kysely<never>): Promise<void> {
  await db.schema.alterTable('upload').addColumn('digest', 'text').execute();
  await db.schema.alterTable('upload').addColumn('concat', 'text').execute();
  await db.schema.alterTable('upload').addColumn('final_id', 'text').execute();
  await db.schema.createIndex('upload_final').on('upload').column('final_id').execute();
  await db.schema.createIndex('upload_owner').on('upload').columns(['owner', 'state']).execute();
}
