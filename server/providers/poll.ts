/** Looking at videos, for when webhooks are lost: batched, within a bounded share of the provider's rate limit. */
import type { EncodeAttemptRow } from '../../db/schema.ts';
import { transact } from '../../db/transaction.ts';
import { anyDue, attemptById, changeAttempt, claimDue, OPEN_STATES } from './attempts.ts';
import { applyObservation, failAttempt } from './observe.ts';
import { takeLook } from './rate.ts';
import { obeying, pollPause, type Remote } from './remote.ts';

const WATCHED = ['working', 'playable'];
/** Looks in a row that find nothing: one may be a lag of theirs. */
const MISSES = 3;
/** Attempts that have come to rest. */
const RESTING = ['complete', 'failed', 'superseded', 'ended'];
/**
 * Pauses between the searches for videos that nobody knew of, as multiples of STREAM_LOOKUP: at once when an attempt has
 * come to rest, and after a minute, ten minutes and an hour, with the default.
 */
const RECONCILE_PAUSES = [6, 60, 360];

/**
 * Looks at the videos that have been due for longest. A claim moves their next look on whatever comes of this one, so
 * that no row can keep the others waiting. Returns how many rows it took on.
 */
export async function pollDue(remote: Remote): Promise<number> {
  const { db, provider, settings } = remote;
  if (!(await anyDue(db, provider.name, WATCHED)) || !(await takeLook(db, provider))) return 0;
  const rows = await claimDue(db, {
    provider: provider.name,
    states: WATCHED,
    limit: provider.capabilities.batch,
    changes: ({ tries }) => ({ tries: tries + 1, nextAt: Date.now() + pollPause(settings, tries + 1) }),
  });
  if (!rows.length) return 0;
  await obeying(remote, 'poll', async () => {
    const late = rows.filter(({ deadline }) => deadline !== null && deadline <= Date.now());
    const found = await lookAtList(remote, rows);
    for (const row of rows) {
      const isLate = late.includes(row);
      if (isLate || !found.has(row.videoId ?? '')) await lookAtOne(remote, row, isLate);
    }
  });
  return rows.length;
}

/** The ids that were in the list. */
async function lookAtList(remote: Remote, rows: EncodeAttemptRow[]): Promise<Set<string>> {
  const ids = rows.map(({ videoId }) => videoId).filter((id) => id !== null);
  const found = await remote.provider.observe(ids);
  for (const seen of found) await transact(remote.db, (trx) => applyObservation(trx, remote.observing, seen));
  return new Set(found.map(({ videoId }) => videoId));
}

/** Straight at one video: for one that the list left out, and as the last look before a deadline counts. */
async function lookAtOne(remote: Remote, row: EncodeAttemptRow, late: boolean): Promise<void> {
  const { db, provider, observing } = remote;
  if (row.videoId === null || !(await takeLook(db, provider))) return;
  const seen = await provider.look(row.videoId);
  if (seen) {
    await transact(db, (trx) => applyObservation(trx, observing, seen));
    if (row.misses) await changeAttempt(db, { id: row.id }, WATCHED, { misses: 0 });
  } else {
    const changed = await changeAttempt(db, row, WATCHED, { misses: row.misses + 1 });
    if (changed && changed.misses >= MISSES)
      return void (await transact(db, (trx) => failAttempt(trx, observing, row, DELETED, WATCHED)));
  }
  if (late && OPEN_STATES.includes((await attemptById(db, row.id))?.state ?? ''))
    await transact(db, (trx) => failAttempt(trx, observing, row, TIMEOUT, WATCHED));
}

const DELETED = {
  code: 'deleted',
  message: 'The video is not at Cloudflare Stream any more: somebody deleted it there.',
};
const TIMEOUT = { code: 'timeout', message: 'Cloudflare Stream did not finish it in time.' };

/** Searches once more, after the end, for videos that a lost answer may have left. Returns how many rows it took on. */
export async function reconcileDue(remote: Remote): Promise<number> {
  const { db, provider, settings } = remote;
  if (!(await anyDue(db, provider.name, RESTING)) || !(await takeLook(db, provider))) return 0;
  const [row] = await claimDue(db, {
    provider: provider.name,
    states: RESTING,
    limit: 1,
    changes: ({ tries }) => {
      const pause = RECONCILE_PAUSES[tries];
      return {
        tries: tries + 1,
        nextAt: pause === undefined ? null : Date.now() + pause * settings.times.lookup,
      };
    },
  });
  if (!row) return 0;
  await obeying(remote, 'search', async () => {
    for (const seen of await provider.findByAttempt(row.id))
      await transact(db, (trx) => applyObservation(trx, remote.observing, seen));
  });
  if (row.nextAt === null) await forgetWhenGone(remote, row);
  return 1;
}

async function forgetWhenGone({ db }: Remote, row: EncodeAttemptRow): Promise<void> {
  await db
    .deleteFrom('encodeAttempt')
    .where('id', '=', row.id)
    .where('state', '=', 'ended')
    .where((eb) => eb.not(eb.exists(eb.selectFrom('media').select('id').where('id', '=', row.mediaId))))
    .execute();
}
