import { openDatabase } from '../../db/dialect.ts';
import { DIALECTS, openTestDatabase } from '../../test/databases.ts';
import { loadSecret } from './secret.ts';

describe.each(DIALECTS)('the signing secret on %s', (dialect) => {
  it('is made once for all processes', async () => {
    const database = await openTestDatabase(dialect);
    const other = openDatabase({ url: database.url, file: database.file });
    const [a, b] = await Promise.all([loadSecret(database.db), loadSecret(other)]);
    expect(a).toHaveLength(32);
    expect(b).toEqual(a);
    expect(await loadSecret(database.db)).toEqual(a);
    await other.destroy();
    await database.close();
  });

  it('is SESSION_SECRET when that is set', async () => {
    const database = await openTestDatabase(dialect);
    expect(Buffer.from(await loadSecret(database.db, 'a configured secret')).toString()).toBe(
      'a configured secret',
    );
    await database.close();
  });
});
