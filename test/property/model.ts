/** What each action must do, said a second time and without a database. */
import type { ClaimedJob } from '../../server/jobs/job.ts';
import { TRANSITIONS, type MediaStatus } from '../../server/media/media.ts';
import type { Action, World } from './actions.ts';

interface ModelJob {
  status: string;
  attempts: number;
  maxAttempts: number;
  cancel: boolean;
  due: boolean;
  lapsed: boolean;
  token: string | undefined;
}

export interface Model {
  jobs: Map<string, ModelJob>;
  media: { status: MediaStatus; attempt: number };
}

export const newModel = (): Model => ({ jobs: new Map(), media: { status: 'uploading', attempt: 1 } });

const FRESH = { attempts: 0, cancel: false, due: true, lapsed: false, token: undefined };
const unfinished = ({ status }: ModelJob): boolean => status === 'queued' || status === 'running';

/** Applies the action to the model; returns what the real thing must have answered. */
export function predict(model: Model, action: Action, leases: ClaimedJob[], answer: unknown): unknown {
  const jobs = [...model.jobs.values()];
  if ('lease' in action) return predictLease(model, action, leases);
  switch (action.do) {
    case 'add':
      if (model.jobs.has(action.key)) return false;
      model.jobs.set(action.key, { ...FRESH, status: 'queued', maxAttempts: action.maxAttempts });
      return true;
    case 'claim': {
      const claimed = answer as ClaimedJob | undefined;
      const job = claimed && model.jobs.get(claimed.key);
      if (!job?.due || job.status !== 'queued')
        return jobs.some((j) => j.due && j.status === 'queued') ? 'a job that is due' : undefined;
      Object.assign(job, {
        status: 'running',
        attempts: job.attempts + 1,
        token: claimed!.leaseToken,
        lapsed: false,
      });
      return answer;
    }
    case 'lapse':
      return void jobs.forEach((job) => (job.lapsed = job.status === 'running'));
    case 'due':
      return void jobs.forEach((job) => (job.due = true));
    case 'requeue': {
      const lapsed = jobs.filter((job) => job.lapsed && job.status === 'running');
      for (const job of lapsed)
        if (job.cancel) job.status = 'cancelled';
        else if (job.attempts < job.maxAttempts) Object.assign(job, { status: 'queued', due: true });
        else job.status = 'failed';
      return lapsed.length;
    }
    case 'cancelAll':
      return jobs.filter(cancel).length;
    case 'cancel': {
      const job = model.jobs.get(action.key);
      return job && cancel(job);
    }
    case 'retry': {
      const job = model.jobs.get(action.key);
      if (!job || !['failed', 'cancelled'].includes(job.status)) return job && false;
      Object.assign(job, FRESH, { status: 'queued' });
      return true;
    }
    case 'move': {
      const legal = !action.behind && TRANSITIONS[model.media.status].includes(action.to);
      if (legal) model.media.status = action.to;
      return legal;
    }
    case 'reopen': {
      const legal = !action.behind && model.media.status === 'failed';
      if (legal) model.media = { status: 'processing', attempt: model.media.attempt + 1 };
      return legal;
    }
  }
}

function cancel(job: ModelJob): boolean {
  if (!unfinished(job)) return false;
  job.cancel = true;
  if (job.status === 'queued') job.status = 'cancelled';
  return true;
}

function predictLease(
  model: Model,
  action: Extract<Action, { lease: number }>,
  leases: ClaimedJob[],
): unknown {
  const lease = leases[action.lease % Math.max(1, leases.length)];
  if (!lease) return undefined;
  const job = model.jobs.get(lease.key)!;
  const holds = job.status === 'running' && job.token === lease.leaseToken;
  switch (action.do) {
    case 'complete':
      if (!holds || job.cancel) return false;
      job.status = 'succeeded';
      return true;
    case 'heartbeat':
    case 'progress':
      if (holds) job.lapsed = false;
      return !holds ? 'lost' : job.cancel ? 'cancel' : 'ok';
    case 'release':
      if (holds) Object.assign(job, job.cancel ? { status: 'cancelled' } : handedBack(job));
      return undefined;
    case 'fail':
      if (!holds) return 'lost';
      if (job.cancel) return (job.status = 'cancelled');
      if (action.permanent || job.attempts >= job.maxAttempts) return (job.status = 'failed');
      Object.assign(job, { status: 'queued', due: false });
      return 'retry';
  }
}

const handedBack = (job: ModelJob) => ({ status: 'queued', due: true, attempts: job.attempts - 1 });

/** Holds the rows to the model. */
export async function compare({ db }: World, model: Model): Promise<void> {
  const rows = await db
    .selectFrom('job')
    .select(['key', 'status', 'attempts', 'leaseToken'])
    .orderBy('key')
    .execute();
  const jobs = [...model.jobs].sort(([a], [b]) => (a < b ? -1 : 1));
  expect(rows).toEqual(
    jobs.map(([key, { status, attempts, token }]) => ({
      key,
      status,
      attempts,
      leaseToken: status === 'running' ? token : null,
    })),
  );
  const media = await db.selectFrom('media').select(['status', 'attempt']).executeTakeFirst();
  expect(media).toEqual(model.media);
}
