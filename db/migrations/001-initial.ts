import { sql, type ColumnDefinitionBuilder, type Kysely } from 'kysely';
import { isPostgres, type Db } from '../dialect.ts';

export async function up(db: Kysely<never>): Promise<void> {
  const notNull = (c: ColumnDefinitionBuilder) => c.notNull();
  const zero = (c: ColumnDefinitionBuilder) => c.notNull().defaultTo(0);

  await db.schema
    .createTable('media')
    .addColumn('id', 'text', (c) => c.primaryKey())
    .addColumn('owner', 'text', notNull)
    .addColumn('title', 'text', notNull)
    .addColumn('filename', 'text')
    .addColumn('filetype', 'text')
    .addColumn('status', 'text', notNull)
    .addColumn('attempt', 'integer', (c) => c.notNull().defaultTo(1))
    .addColumn('visibility', 'text', notNull)
    .addColumn('source_key', 'text')
    .addColumn('source', 'text')
    .addColumn('error_code', 'text')
    .addColumn('error_message', 'text')
    .addColumn('created_at', 'bigint', notNull)
    .addColumn('updated_at', 'bigint', notNull)
    .addColumn('deleted_at', 'bigint')
    .execute();
  await db.schema.createIndex('media_owner').on('media').columns(['owner', 'id']).execute();
  await db.schema.createIndex('media_status').on('media').columns(['status', 'id']).execute();

  await db.schema
    .createTable('upload')
    .addColumn('id', 'text', (c) => c.primaryKey())
    .addColumn('media_id', 'text', (c) => c.references('media.id').onDelete('cascade'))
    .addColumn('owner', 'text', notNull)
    .addColumn('kind', 'text', notNull)
    .addColumn('length', 'bigint')
    .addColumn('offset', 'bigint', zero)
    .addColumn('state', 'text', notNull)
    .addColumn('metadata', 'text')
    .addColumn('key', 'text', notNull)
    .addColumn('storage_id', 'text')
    .addColumn('tail_key', 'text')
    .addColumn('tail_size', 'bigint', zero)
    .addColumn('epoch', 'bigint', zero)
    .addColumn('idempotency_key', 'text')
    .addColumn('expires_at', 'bigint')
    .addColumn('created_at', 'bigint', notNull)
    .addColumn('updated_at', 'bigint', notNull)
    .addUniqueConstraint('upload_idempotency', ['owner', 'idempotency_key'])
    .execute();
  await db.schema.createIndex('upload_media').on('upload').column('media_id').execute();
  await db.schema.createIndex('upload_state').on('upload').columns(['state', 'expires_at']).execute();

  await db.schema
    .createTable('upload_part')
    .addColumn('upload_id', 'text', (c) => c.notNull().references('upload.id').onDelete('cascade'))
    .addColumn('number', 'integer', notNull)
    .addColumn('size', 'bigint', notNull)
    .addColumn('etag', 'text', notNull)
    .addPrimaryKeyConstraint('upload_part_pk', ['upload_id', 'number'])
    .execute();

  await db.schema
    .createTable('upload_lock')
    .addColumn('upload_id', 'text', (c) => c.primaryKey())
    .addColumn('holder', 'text', notNull)
    .addColumn('wanted', 'integer', zero)
    .addColumn('expires_at', 'bigint', notNull)
    .execute();

  await db.schema
    .createTable('job')
    .addColumn('id', 'text', (c) => c.primaryKey())
    .addColumn('key', 'text', (c) => c.notNull().unique())
    .addColumn('task', 'text', notNull)
    .addColumn('media_id', 'text')
    .addColumn('media_attempt', 'integer')
    .addColumn('owner', 'text')
    .addColumn('status', 'text', notNull)
    .addColumn('priority', 'integer', zero)
    .addColumn('turn', 'integer', zero)
    .addColumn('attempts', 'integer', zero)
    .addColumn('max_attempts', 'integer', notNull)
    .addColumn('run_at', 'bigint', notNull)
    .addColumn('payload', 'text', notNull)
    .addColumn('worker', 'text')
    .addColumn('lease_token', 'text')
    .addColumn('lease_until', 'bigint')
    .addColumn('cancel_requested', 'integer', zero)
    .addColumn('progress', 'text')
    .addColumn('error_code', 'text')
    .addColumn('error_message', 'text')
    .addColumn('exit_status', 'text')
    .addColumn('log_tail', 'text')
    .addColumn('created_at', 'bigint', notNull)
    .addColumn('started_at', 'bigint')
    .addColumn('finished_at', 'bigint')
    .execute();
  // Claims look only at queued rows, so their cost does not grow with the finished ones.
  await sql`create index job_ready on job (priority desc, turn, run_at, id) where status = 'queued'`.execute(
    db,
  );
  await sql`create index job_leased on job (lease_until) where status = 'running'`.execute(db);
  await sql`create index job_turn on job (owner, priority, turn) where finished_at is null`.execute(db);
  await db.schema.createIndex('job_media').on('job').columns(['media_id', 'id']).execute();

  await db.schema
    .createTable('output')
    .addColumn('id', 'text', (c) => c.primaryKey())
    .addColumn('media_id', 'text', (c) => c.notNull().references('media.id').onDelete('cascade'))
    .addColumn('media_attempt', 'integer', notNull)
    .addColumn('kind', 'text', notNull)
    .addColumn('prefix', 'text', notNull)
    .addColumn('bytes', 'bigint', notNull)
    .addColumn('details', 'text', notNull)
    .addColumn('created_at', 'bigint', notNull)
    .addUniqueConstraint('output_kind', ['media_id', 'kind'])
    .execute();

  await db.schema
    .createTable('event')
    .addColumn('id', isPostgres(db as unknown as Db) ? 'bigserial' : 'integer', (c) =>
      isPostgres(db as unknown as Db) ? c.primaryKey() : c.primaryKey().autoIncrement(),
    )
    .addColumn('type', 'text', notNull)
    .addColumn('owner', 'text')
    .addColumn('media_id', 'text')
    .addColumn('job_id', 'text')
    .addColumn('payload', 'text', notNull)
    .addColumn('created_at', 'bigint', notNull)
    .execute();
  await db.schema.createIndex('event_media').on('event').columns(['media_id', 'id']).execute();
  await db.schema.createIndex('event_owner').on('event').columns(['owner', 'id']).execute();
  await db.schema.createIndex('event_created').on('event').column('created_at').execute();

  await db.schema
    .createTable('api_key')
    .addColumn('id', 'text', (c) => c.primaryKey())
    .addColumn('name', 'text', notNull)
    .addColumn('owner', 'text', notNull)
    .addColumn('scopes', 'text', notNull)
    .addColumn('hash', 'text', (c) => c.notNull().unique())
    .addColumn('hint', 'text', notNull)
    .addColumn('created_at', 'bigint', notNull)
    .addColumn('last_used_at', 'bigint')
    .addColumn('revoked_at', 'bigint')
    .execute();

  await db.schema
    .createTable('setting')
    .addColumn('name', 'text', (c) => c.primaryKey())
    .addColumn('value', 'text', notNull)
    .execute();
}
