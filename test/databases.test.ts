import { openDatabase } from '../db/dialect.ts';
import { DIALECTS, openTestDatabase } from './databases.ts';

describe.each(DIALECTS)('a test database on %s', (dialect) => {
  it('is fresh, migrated and open to a second connection', async () => {
    const one = await openTestDatabase(dialect);
    const two = await openTestDatabase(dialect);
    const again = openDatabase({ url: one.url, file: one.file });
    try {
      await one.db.insertInto('setting').values({ name: 'a', value: '1' }).execute();
      expect(await again.selectFrom('setting').selectAll().execute()).toEqual([{ name: 'a', value: '1' }]);
      expect(await two.db.selectFrom('setting').selectAll().execute()).toEqual([]);
    } finally {
      await Promise.all([again.destroy(), two.close()]);
      await one.close();
    }
  });
});
