import type { ColumnDefinitionBuilder, Kysely } from 'kysely';

/** Segments of renditions that are still growing. */
export async function up(db: Kysely<never>): Promise<void> {
  const notNull = (c: ColumnDefinitionBuilder) => c.notNull();
  await db.schema
    .createTable('segment')
    .addColumn('output_id', 'text', (c) => c.notNull().references('output.id').onDelete('cascade'))
    .addColumn('rendition', 'text', notNull)
    .addColumn('sequence', 'integer', notNull)
    .addColumn('uri', 'text', notNull)
    .addColumn('duration', 'double precision', notNull)
    .addColumn('bytes', 'bigint', notNull)
    .addColumn('key_frames', 'text', notNull)
    .addPrimaryKeyConstraint('segment_pk', ['output_id', 'rendition', 'sequence'])
    .execute();
}
