import { sql, type ColumnDefinitionBuilder, type Kysely } from 'kysely';

export async function up(db: Kysely<never>): Promise<void> {
  const notNull = (c: ColumnDefinitionBuilder) => c.notNull();
  const zero = (c: ColumnDefinitionBuilder) => c.notNull().defaultTo(0);

  await db.schema
    .alterTable('media')
    .addColumn('encoder', 'text', (c) => c.notNull().defaultTo('ffmpeg'))
    .execute();

  // No reference to media: a row stays until nothing of it is left at the provider.
  await db.schema
    .createTable('encode_attempt')
    .addColumn('id', 'text', (c) => c.primaryKey())
    .addColumn('provider', 'text', notNull)
    .addColumn('media_id', 'text', notNull)
    .addColumn('media_attempt', 'integer', notNull)
    .addColumn('owner', 'text', notNull)
    .addColumn('state', 'text', notNull)
    .addColumn('transfer', 'text', notNull)
    .addColumn('video_id', 'text')
    .addColumn('upload_url', 'text')
    .addColumn('refetches', 'integer', zero)
    .addColumn('uncertain', 'integer', zero)
    .addColumn('next_at', 'bigint')
    .addColumn('tries', 'integer', zero)
    .addColumn('misses', 'integer', zero)
    .addColumn('epoch', 'integer', zero)
    .addColumn('deadline', 'bigint')
    .addColumn('percent', 'integer', zero)
    .addColumn('error_code', 'text')
    .addColumn('error_message', 'text')
    .addColumn('created_at', 'bigint', notNull)
    .addColumn('updated_at', 'bigint', notNull)
    .addUniqueConstraint('encode_attempt_video', ['provider', 'video_id'])
    .addUniqueConstraint('encode_attempt_once', ['media_id', 'media_attempt', 'provider', 'refetches'])
    .execute();
  await sql`create index encode_attempt_due on encode_attempt (provider, next_at) where next_at is not null`.execute(
    db,
  );
  await db.schema
    .createIndex('encode_attempt_state')
    .on('encode_attempt')
    .columns(['provider', 'state'])
    .execute();

  await db.schema
    .createTable('provider_rate')
    .addColumn('provider', 'text', (c) => c.primaryKey())
    .addColumn('window_start', 'bigint', zero)
    .addColumn('calls', 'integer', zero)
    .addColumn('blocked_until', 'bigint', zero)
    .execute();
}
