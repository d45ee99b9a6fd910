/** What must hold for the rows and events of any history whatever. */
import type { Db } from '../../db/dialect.ts';
import { TRANSITIONS, type MediaStatus } from '../../server/media/media.ts';

const JOB_EDGES: Record<string, readonly string[]> = {
  '': ['queued'],
  queued: ['running', 'cancelled'],
  running: ['running', 'succeeded', 'queued', 'failed', 'cancelled'], // running again: a cancel was asked for
  failed: ['queued'],
  cancelled: ['queued'],
  succeeded: [],
};

interface Told {
  status: string;
  attempts: number;
  attempt: number;
}

/** Events of a type in order, by what they are about. */
async function histories(db: Db, type: string, about: 'jobId' | 'mediaId'): Promise<Map<string, Told[]>> {
  const events = await db.selectFrom('event').selectAll().where('type', '=', type).orderBy('id').execute();
  const told = new Map<string, Told[]>();
  for (const event of events) {
    const id = event[about]!;
    told.set(id, [...(told.get(id) ?? []), JSON.parse(event.payload) as Told]);
  }
  return told;
}

/** No illegal edge, no second success, never more attempts than allowed, and the last event tells the row. */
export async function checkJobs(db: Db): Promise<void> {
  const told = await histories(db, 'job.status', 'jobId');
  for (const job of await db.selectFrom('job').selectAll().execute()) {
    const history = told.get(job.id) ?? [];
    let before = '';
    for (const { status, attempts } of history) {
      if (!JOB_EDGES[before]!.includes(status)) throw new Error(`job ${job.key}: ${before} -> ${status}`);
      if (attempts > job.maxAttempts)
        throw new Error(`job ${job.key}: attempt ${attempts} of ${job.maxAttempts}`);
      before = status;
    }
    expect({ status: before, attempts: history.at(-1)?.attempts }).toEqual({
      status: job.status,
      attempts: job.attempts,
    });
    expect(job.leaseToken === null).toBe(job.status !== 'running');
    expect(job.finishedAt === null).toBe(['queued', 'running'].includes(job.status));
  }
}

/** Only edges of TRANSITIONS within an attempt, and a new attempt only from failed. */
export async function checkMedia(db: Db): Promise<void> {
  const told = await histories(db, 'media.status', 'mediaId');
  for (const media of await db.selectFrom('media').selectAll().execute()) {
    let before: Told = { status: 'uploading', attempt: 1, attempts: 0 };
    for (const now of told.get(media.id) ?? []) {
      const legal =
        now.attempt === before.attempt
          ? TRANSITIONS[before.status as MediaStatus].includes(now.status as MediaStatus)
          : now.attempt === before.attempt + 1 && before.status === 'failed' && now.status === 'processing';
      if (!legal) throw new Error(`media: ${JSON.stringify(before)} -> ${JSON.stringify(now)}`);
      before = now;
    }
    expect({ status: before.status, attempt: before.attempt }).toEqual({
      status: media.status,
      attempt: media.attempt,
    });
  }
}
