/** The webhook as `stream webhook register` set it up: its address and secrets, kept in the database. */
import type { Db } from '../../db/dialect.ts';

const SETTING = 'stream_webhook';

export interface Subscription {
  url: string;
  secret: string;
  /** The secret before that: deliveries that were signed with it are still under way. */
  previous?: string | undefined;
}

export async function readSubscription(db: Db): Promise<Subscription | undefined> {
  const row = await db.selectFrom('setting').select('value').where('name', '=', SETTING).executeTakeFirst();
  return row && (JSON.parse(row.value) as Subscription);
}

/** Stores what was registered; the secret so far stays valid beside a new one. */
export async function storeSubscription(db: Db, { url, secret }: Subscription): Promise<void> {
  const before = await readSubscription(db);
  const previous = before && before.secret !== secret ? before.secret : before?.previous;
  const value = JSON.stringify({ url, secret, previous } satisfies Subscription);
  await db
    .insertInto('setting')
    .values({ name: SETTING, value })
    .onConflict((oc) => oc.column('name').doUpdateSet({ value }))
    .execute();
}

/** Every secret a webhook may be signed with: the configured ones and the registered ones. */
export async function webhookSecrets(db: Db, configured: readonly string[]): Promise<string[]> {
  const stored = await readSubscription(db);
  return [...configured, stored?.secret, stored?.previous].filter((secret) => secret !== undefined);
}
