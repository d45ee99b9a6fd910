/**
 * Asking a provider for videos. A POST is never repeated as it is: when its answer is lost, the video it may have made is
 * looked for by its name, again and again since lists lag, and only when it was never found the attempt waits once more.
 */
import type { EncodeAttemptRow } from '../../db/schema.ts';
import { transact } from '../../db/transaction.ts';
import { sourceToken } from '../auth/source-tokens.ts';
import { messageOf } from '../errors.ts';
import { anyDue, changeAttempt, claimDue, endAttempts, inFlight, wantedMedia } from './attempts.ts';
import { applyObservation, failAttempt } from './observe.ts';
import { ProviderError } from './provider.ts';
import { addPush } from './push.ts';
import { block, isBlocked, takeLook } from './rate.ts';
import { jittered, obeying, type Remote } from './remote.ts';

const AT_ONCE = 8;
/** How long a claim holds, in longest requests: after it nobody is at it any more. */
const CLAIM = 3;
/** A claim with less time left than this many longest requests does not start one. */
const MARGIN = 1.5;
/** Searches before it is certain enough that there is no video: over five minutes, with STREAM_LOOKUP=10s. */
const LOOKUPS = 5;
/** How long the address of a source works: Stream wants a day at least. */
const SOURCE_TTL_MS = 48 * 3_600_000;
/** After an answer that a person has to do something about. */
const UNAUTHORIZED_MS = 60_000;

/** Sends what waits, as far as the provider has room. Returns how many rows it took on. */
export async function submitDue(remote: Remote): Promise<number> {
  const { db, provider, settings } = remote;
  if (await isBlocked(db, provider.name)) return 0;
  const room = provider.capabilities.maxInFlight - (await inFlight(db, provider.name));
  if (room <= 0) return 0;
  const rows = await claimDue(db, {
    provider: provider.name,
    states: ['waiting'],
    limit: Math.min(AT_ONCE, room),
    changes: () => ({
      state: 'submitting',
      nextAt: Date.now() + CLAIM * settings.times.request,
      transfer: settings.transfer,
    }),
  });
  await Promise.all(rows.map((row) => submitOne(remote, row)));
  return rows.length;
}

async function submitOne(remote: Remote, row: EncodeAttemptRow): Promise<void> {
  const media = await wantedMedia(remote.db, row);
  if (!media) return transact(remote.db, (trx) => endAttempts(trx, row.mediaId));
  if (row.transfer === 'push') return transact(remote.db, (trx) => addPush(trx, row));
  try {
    const size = (await remote.storage.stat(media.sourceKey ?? ''))?.size ?? 0;
    if (size > remote.provider.capabilities.maxBytes) return await refuse(remote, row, TOO_LARGE);
    const { request } = remote.settings.times;
    if (Date.now() > (row.nextAt ?? 0) - MARGIN * request) return; // paused meanwhile: whoever claims it next searches first
    const { id: attemptId, mediaId, owner } = row;
    const seen = await remote.provider.submit(
      { attemptId, mediaId, owner, sourceUrl: sourceUrlOf(remote, attemptId) },
      AbortSignal.timeout(request),
    );
    await transact(remote.db, (trx) => applyObservation(trx, remote.observing, seen));
  } catch (error) {
    await settle(remote, row, error);
  }
}

/** Where Stream fetches the upload of an attempt. */
export const sourceUrlOf = ({ publicUrl, sourceKeys }: Remote, attemptId: string): string =>
  `${publicUrl}/source/${encodeURIComponent(sourceToken(sourceKeys, attemptId, SOURCE_TTL_MS))}`;

const TOO_LARGE = { code: 'too_large', message: 'The file is larger than Cloudflare Stream takes (30 GB).' };

async function refuse(
  remote: Remote,
  row: EncodeAttemptRow,
  error: { code: string; message: string },
): Promise<void> {
  await transact(remote.db, (trx) => failAttempt(trx, remote.observing, row, error));
}

/** What a failed request means for its attempt. Only what surely did nothing goes back to waiting. */
async function settle(remote: Remote, row: EncodeAttemptRow, error: unknown): Promise<void> {
  const { db, logger, provider, settings } = remote;
  const trouble = error instanceof ProviderError ? error.trouble : 'unclear';
  const message = messageOf(error);
  logger.warn({ attempt: row.id, media: row.mediaId, trouble }, `submission: ${message}`);
  if (trouble === 'refused') return refuse(remote, row, { code: 'stream_refused', message });
  const again = (ms: number) =>
    changeAttempt(db, row, ['submitting'], {
      state: 'waiting',
      nextAt: Date.now() + jittered(ms),
      errorMessage: message,
    });
  if (trouble === 'busy') {
    const wait = (error as ProviderError).retryAfterMs ?? UNAUTHORIZED_MS;
    await block(db, provider.name, wait);
    await again(wait);
  } else if (trouble === 'not_sent') await again(settings.times.lookup);
  else if (trouble !== 'unclear') await again(UNAUTHORIZED_MS);
  else
    await changeAttempt(db, row, ['submitting'], {
      uncertain: 1,
      tries: 0,
      nextAt: Date.now() + jittered(settings.times.lookup),
    });
}

/** Searches for videos of submissions whose answer was lost, or whose process died. Returns how many rows it took on. */
export async function lookUpDue(remote: Remote): Promise<number> {
  const { db, provider, settings } = remote;
  if (!(await anyDue(db, provider.name, ['submitting'])) || !(await takeLook(db, provider))) return 0;
  const [row] = await claimDue(db, {
    provider: provider.name,
    states: ['submitting'],
    limit: 1,
    changes: ({ tries }) => ({
      uncertain: 1,
      nextAt: Date.now() + jittered(settings.times.lookup * 2 ** (tries + 1)),
    }),
  });
  if (!row) return 0;
  if (row.transfer === 'push') await transact(db, (trx) => addPush(trx, row));
  else await obeying(remote, 'search', () => search(remote, row));
  return 1;
}

async function search({ db, provider, observing, logger }: Remote, row: EncodeAttemptRow): Promise<void> {
  const found = await provider.findByAttempt(row.id);
  for (const seen of found) await transact(db, (trx) => applyObservation(trx, observing, seen));
  if (found.length) return;
  const tries = row.tries + 1;
  const again = tries >= LOOKUPS ? { state: 'waiting', nextAt: Date.now(), tries: 0 } : { tries };
  await changeAttempt(db, row, ['submitting'], again);
  logger.info(
    { attempt: row.id, tries },
    tries >= LOOKUPS ? 'no video was made: once more' : 'no video found yet',
  );
}
