/** Sending an upload to the provider, for installations that it can't reach. A job: it may take hours, and resumes. */
import type { Readable } from 'node:stream';
import type { Trx } from '../../db/dialect.ts';
import type { EncodeAttemptRow, MediaRow } from '../../db/schema.ts';
import { transact } from '../../db/transaction.ts';
import { add } from '../jobs/queue.ts';
import {
  JobError,
  JobPostponed,
  type Commit,
  type JobContext,
  type JobFailure,
  type Task,
} from '../jobs/job.ts';
import { attemptById, changeAttempt, queueRemoval } from './attempts.ts';
import { failAttempt } from './observe.ts';
import { ProviderError } from './provider.ts';
import { pollPause, type Remote } from './remote.ts';

export const PUSH = 'push-video';
const OPEN = ['submitting', 'working', 'playable'];

/** Puts an attempt into the hands of a job; its row is not due again before the bytes have arrived. */
export async function addPush(trx: Trx, row: EncodeAttemptRow): Promise<void> {
  await changeAttempt(trx, { id: row.id }, ['submitting'], { nextAt: null, tries: 0 });
  await add(trx, {
    key: `${row.id}:push`,
    task: PUSH,
    mediaId: row.mediaId,
    mediaAttempt: row.mediaAttempt,
    owner: row.owner,
    payload: { attemptId: row.id },
    maxAttempts: 20,
  });
}

/** The task that pushes. It opens the upload once, and goes on where an earlier run of it stopped. */
export function pushTask(remote: Remote): Task {
  return async (context) => {
    const row = await attemptById(remote.db, String(context.job.payload.attemptId));
    const media = await mediaOf(remote, row);
    if (!row || !media || !OPEN.includes(row.state)) return undefined;
    const size = await sizeOf(remote, media);
    try {
      const opened = row.uploadUrl && row.videoId ? row : await open(remote, row, size, context.signal);
      await send(remote, opened, media, size, context);
      return taken(remote, opened);
    } catch (error) {
      throw await asFailure(remote, row, error);
    }
  };
}

/** After the last byte: from now on it is looked at like any other. */
const taken =
  ({ settings }: Remote, row: EncodeAttemptRow): Commit =>
  async (trx) => {
    const now = Date.now();
    const next = { nextAt: now + pollPause(settings, 0), deadline: now + settings.times.deadline, tries: 0 };
    // It may be playable by now: a webhook can be faster than our commit.
    const moved = await changeAttempt(trx, { id: row.id }, ['submitting'], { state: 'working', ...next });
    if (!moved) await changeAttempt(trx, { id: row.id }, ['working', 'playable'], next);
  };

async function mediaOf({ db }: Remote, row: EncodeAttemptRow | undefined): Promise<MediaRow | undefined> {
  if (!row) return undefined;
  return db
    .selectFrom('media')
    .selectAll()
    .where('id', '=', row.mediaId)
    .where('attempt', '=', row.mediaAttempt)
    .where('deletedAt', 'is', null)
    .executeTakeFirst();
}

async function sizeOf({ storage, provider }: Remote, media: MediaRow): Promise<number> {
  const stat = await storage.stat(media.sourceKey ?? '');
  if (!stat)
    throw permanent('source_missing', 'The uploaded file is not in storage any more. Upload it again.');
  if (stat.size > provider.capabilities.maxBytes)
    throw permanent('too_large', 'The file is larger than Cloudflare Stream takes (30 GB).');
  return stat.size;
}

/** Opens an upload. What an earlier try opened without our learning where is removed first: it can't be gone on with. */
async function open(
  { db, provider }: Remote,
  row: EncodeAttemptRow,
  length: number,
  signal: AbortSignal,
): Promise<EncodeAttemptRow> {
  if (row.uncertain)
    for (const { videoId } of await provider.findByAttempt(row.id))
      await transact(db, (trx) => queueRemoval(trx, provider.name, videoId));
  await changeAttempt(db, { id: row.id }, ['submitting'], { uncertain: 1 });
  const { id: attemptId, mediaId, owner } = row;
  const { videoId, uploadUrl } = await provider.openPush({ attemptId, mediaId, owner, length }, signal);
  const opened = await changeAttempt(db, { id: row.id }, ['submitting'], {
    ...{ videoId, uploadUrl },
    uncertain: row.uncertain, // this one's answer came
  });
  if (opened) return opened;
  await transact(db, (trx) => queueRemoval(trx, provider.name, videoId)); // stopped meanwhile
  throw new JobError({ code: 'push_stopped', message: 'It was stopped.', permanent: false });
}

async function send(
  { provider, storage }: Remote,
  { uploadUrl }: EncodeAttemptRow,
  media: MediaRow,
  size: number,
  { signal, progress }: JobContext,
): Promise<void> {
  let offset = await provider.pushedBytes(uploadUrl!, signal);
  while (offset < size) {
    signal.throwIfAborted();
    const end = Math.min(size, offset + provider.capabilities.pushChunk);
    const bytes = await readAll(
      await storage.read(media.sourceKey!, { start: offset, end: end - 1 }, signal),
    );
    const arrived = await provider.pushBytes(uploadUrl!, offset, bytes, signal);
    if (arrived <= offset) throw new ProviderError('unclear', 'The provider took no byte.');
    offset = arrived;
    progress({ percent: Math.floor((offset / size) * 1000) / 10, stage: 'Sending it to Cloudflare Stream' });
  }
}

async function readAll(stream: Readable): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk as Uint8Array);
  return new Uint8Array(Buffer.concat(chunks));
}

async function asFailure({ db }: Remote, row: EncodeAttemptRow, error: unknown): Promise<unknown> {
  if (!(error instanceof ProviderError)) return error;
  const { trouble } = error;
  if (trouble === 'missing') {
    // The upload is gone: the next run opens another one.
    const { provider } = row;
    const now = await attemptById(db, row.id);
    await changeAttempt(db, { id: row.id }, ['submitting'], { videoId: null, uploadUrl: null });
    if (now?.videoId) await transact(db, (trx) => queueRemoval(trx, provider, now.videoId!));
  }
  const refused = trouble === 'refused' && !(await attemptById(db, row.id))?.uploadUrl;
  return asJobTrouble(error, refused);
}

/** A provider's trouble as a job's: "too many" makes it wait, without counting the try. */
export function asJobTrouble(error: unknown, permanently = false): unknown {
  if (!(error instanceof ProviderError)) return error;
  const { trouble, message, retryAfterMs: delayMs = QUIET_MS } = error;
  const code = `stream_${trouble}`;
  if (trouble === 'busy') return new JobPostponed({ code, message, delayMs });
  return new JobError({ code, message, permanent: permanently }, { cause: error });
}

/** When it is not said for how long. */
const QUIET_MS = 60_000;

const permanent = (code: string, message: string): JobError =>
  new JobError({ code, message, permanent: true });

/** What follows when a push has failed for good: its attempt fails. */
export async function pushFailed(
  trx: Trx,
  remote: Remote,
  payload: Record<string, unknown>,
  failure: JobFailure,
): Promise<void> {
  const row = await attemptById(trx, String(payload.attemptId));
  if (row) await failAttempt(trx, remote.observing, row, { code: failure.code, message: failure.message });
}
