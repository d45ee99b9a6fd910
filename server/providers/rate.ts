/** How much may be asked of a provider: one budget for all processes, kept in the database. */
import type { Db } from '../../db/dialect.ts';
import type { Provider } from './provider.ts';

/** Makes the row that the others change. */
export async function openRate(db: Db, provider: string): Promise<void> {
  await db
    .insertInto('providerRate')
    .values({ provider, windowStart: 0, calls: 0, blockedUntil: 0 })
    .onConflict((oc) => oc.column('provider').doNothing())
    .execute();
}

/** Takes one call out of the share that looking may use. False: not now. */
export async function takeLook(db: Db, { name, capabilities }: Provider, now = Date.now()): Promise<boolean> {
  const { pollCalls, pollWindow } = capabilities;
  const row = await db
    .updateTable('providerRate')
    .set((eb) => {
      const over = eb('windowStart', '<=', now - pollWindow);
      return {
        calls: eb
          .case()
          .when(over)
          .then(1)
          .else(eb('calls', '+', 1))
          .end(),
        windowStart: eb.case().when(over).then(now).else(eb.ref('windowStart')).end(),
      };
    })
    .where('provider', '=', name)
    .where('blockedUntil', '<=', now)
    .where((eb) => eb.or([eb('windowStart', '<=', now - pollWindow), eb('calls', '<', pollCalls)]))
    .returning('provider')
    .executeTakeFirst();
  return row !== undefined;
}

/** The provider said "too many requests": nobody asks before `ms` are over. */
export async function block(db: Db, provider: string, ms: number): Promise<void> {
  const until = Date.now() + ms;
  await db
    .updateTable('providerRate')
    .set({ blockedUntil: until })
    .where('provider', '=', provider)
    .where('blockedUntil', '<', until)
    .execute();
}

export async function isBlocked(db: Db, provider: string): Promise<boolean> {
  const row = await db
    .selectFrom('providerRate')
    .select('provider')
    .where('provider', '=', provider)
    .where('blockedUntil', '>', Date.now())
    .executeTakeFirst();
  return row !== undefined;
}
