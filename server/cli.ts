/** `npm run key -- …` and `npm run stream -- …`: for those who have the machine. */
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { openDatabase } from '../db/dialect.ts';
import { migrate } from '../db/migrate.ts';
import { createKey, listKeys, revokeKey, type KeyView } from './auth/keys.ts';
import { SCOPES, type Scope } from './auth/principal.ts';
import { loadConfig } from './config.ts';
import { messageOf } from './errors.ts';
import { STREAM_USAGE, streamCommand } from './stream-command.ts';

const USAGE = `npm run key -- create [--name NAME] [--owner OWNER] [--scopes upload,read,admin]
npm run key -- list
npm run key -- revoke ID
${STREAM_USAGE}`;

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      name: { type: 'string' },
      owner: { type: 'string' },
      scopes: { type: 'string' },
      'take-over': { type: 'boolean' },
    },
  });
  if (existsSync('.env')) process.loadEnvFile('.env');
  const config = loadConfig();
  const { url, file } = config.database;
  if (!url && !existsSync(file))
    throw new Error(`there is no ${file} yet. Start Millrace once, or set DATA_DIR as the server has it.`);
  const db = openDatabase(config.database);
  try {
    await migrate(db);
    const [command, id] = positionals;
    if (command === 'stream')
      return await streamCommand({ config, db, print: console.log }, positionals.slice(1), {
        takeOver: values['take-over'] ?? false,
      });
    if (command === 'create') {
      const scopes = parseScopes(values.scopes ?? 'upload,read');
      const { key } = await createKey(db, {
        name: values.name ?? 'command line',
        owner: values.owner ?? 'admin',
        scopes,
      });
      console.log(key);
    } else if (command === 'list') {
      console.table((await listKeys(db)).map(readable));
    } else if (command === 'revoke' && id) {
      console.log((await revokeKey(db, id)) ? `revoked ${id}` : `no key in use has the id ${id}`);
    } else {
      throw new Error(`usage:\n${USAGE}`);
    }
  } finally {
    await db.destroy();
  }
}

/** Milliseconds as dates. */
function readable(key: KeyView): object {
  const { createdAt, lastUsedAt, scopes } = key;
  const date = (time: number): string => new Date(time).toISOString();
  return {
    ...key,
    scopes: scopes.join(','),
    createdAt: date(createdAt),
    lastUsedAt: lastUsedAt === null ? 'never' : date(lastUsedAt),
  };
}

function parseScopes(value: string): Scope[] {
  const names = value.split(',').map((s) => s.trim());
  const unknown = names.find((s) => !SCOPES.includes(s as Scope));
  if (unknown !== undefined)
    throw new Error(`no scope is called "${unknown}"; there are: ${SCOPES.join(', ')}`);
  return names as Scope[];
}

main().catch((error: unknown) => {
  console.error(messageOf(error));
  process.exitCode = 1;
});
