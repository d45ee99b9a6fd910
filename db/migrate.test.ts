import { sql } from 'kysely';
import { text } from 'node:stream/consumers';
import { DIALECTS, openTestDatabase, type TestDatabase } from '../test/databases.ts';
import { exitOf, startProgram } from '../test/program.ts';
import { migrate } from './migrate.ts';
import * as tailPieces from './migrations/007-tail-pieces.ts';
import { migrations } from './migrations/index.ts';

describe.each(DIALECTS)('migrations on %s', (dialect) => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await openTestDatabase(dialect, { migrated: false });
  });
  afterEach(() => database.close());

  it('build the schema from nothing, in order, and then have nothing to do', async () => {
    expect(await migrate(database.db)).toEqual(Object.keys(migrations));
    expect(await migrate(database.db)).toEqual([]);
    const tables = (await database.db.introspection.getTables()).map(({ name }) => name);
    expect(tables).toEqual(
      expect.arrayContaining([
        'media',
        'upload',
        'upload_part',
        'upload_lock',
        'job',
        'output',
        'event',
        'api_key',
        'setting',
      ]),
    );
  });

  it('are applied once by processes that start together', async () => {
    const args = [database.file, ...(database.url ? [database.url] : [])];
    const answers = await Promise.all(
      [1, 2, 3].map(async () => {
        const child = startProgram('migrate.ts', ...args);
        const [printed, code] = await Promise.all([text(child.stdout!), exitOf(child)]);
        return { code, names: JSON.parse(printed) as string[] };
      }),
    );
    expect(answers.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(answers.flatMap(({ names }) => names)).toEqual(Object.keys(migrations));
  });

  it('make the tail of an upload a list of pieces', async () => {
    const { db } = database;
    await migrate(db);
    await sql`alter table upload rename column tail to tail_key`.execute(db);
    await sql`insert into upload (id, owner, kind, "offset", state, key, tail_key, tail_size, epoch, created_at, updated_at)
      values ('a', 'ann', 'single', 5, 'receiving', 'k', 'incoming/a/3', 5, 3, 1, 1),
        ('b', 'ann', 'single', 0, 'receiving', 'l', null, 0, 0, 1, 1)`.execute(db);
    await tailPieces.up(db as never);
    const rows = await db.selectFrom('upload').select(['tail', 'tailSize']).orderBy('id').execute();
    expect(rows).toEqual([
      { tail: '[{"key":"incoming/a/3","size":5,"level":0}]', tailSize: 5 },
      { tail: null, tailSize: 0 },
    ]);
  });

  it('keep rows that exist', async () => {
    await migrate(database.db);
    await database.db.insertInto('setting').values({ name: 'a', value: 'b' }).execute();
    await migrate(database.db);
    expect(await database.db.selectFrom('setting').selectAll().execute()).toEqual([
      { name: 'a', value: 'b' },
    ]);
  });
});
