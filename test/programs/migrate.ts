/** `migrate.ts FILE [URL]` brings the database up to date and prints the names it applied. */
import { openDatabase } from '../../db/dialect.ts';
import { migrate } from '../../db/migrate.ts';

const [file, url] = process.argv.slice(2);
const db = openDatabase({ file: file!, url });
process.stdout.write(JSON.stringify(await migrate(db)));
await db.destroy();
