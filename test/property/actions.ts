/** Random actions on the queue and on one media, and how each is done. */
import fc from 'fast-check';
import type { Db } from '../../db/dialect.ts';
import { transact } from '../../db/transaction.ts';
import type { ClaimedJob } from '../../server/jobs/job.ts';
import * as queue from '../../server/jobs/queue.ts';
import {
  createMedia,
  MEDIA_STATUSES,
  reopen,
  transition,
  type MediaStatus,
} from '../../server/media/media.ts';

export const MEDIA = 'm1';
const LEASE_MS = 600_000;

export type Action =
  | { do: 'add'; key: string; maxAttempts: number; priority: number; owner: string }
  | { do: 'claim' | 'lapse' | 'requeue' | 'due' | 'cancelAll' }
  | { do: 'complete' | 'release' | 'heartbeat' | 'progress'; lease: number }
  | { do: 'fail'; lease: number; permanent: boolean }
  | { do: 'cancel' | 'retry'; key: string }
  | ({ behind: number } & ({ do: 'move'; to: MediaStatus } | { do: 'reopen' }));

const key = fc.constantFrom('a', 'b', 'c');
/** Which of the leases handed out so far, 0 being the newest: old ones come back on purpose. */
const lease = fc.oneof(fc.constant(0), fc.nat(3));
const priority = fc.nat(1);
const maxAttempts = fc.integer({ min: 1, max: 3 });
/** 1: works for an attempt of the media that is over. */
const behind = fc.nat(1);

const one = <const T extends string>(...names: T[]) => fc.constantFrom(...names);
const queueAction = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: one('add'), key, maxAttempts, priority, owner: key }) },
  { weight: 5, arbitrary: fc.record({ do: one('claim') }) },
  { weight: 4, arbitrary: fc.record({ do: one('lapse', 'requeue') }) },
  { weight: 1, arbitrary: fc.record({ do: one('due', 'cancelAll') }) },
  { weight: 3, arbitrary: fc.record({ do: one('complete'), lease }) },
  { weight: 3, arbitrary: fc.record({ do: one('release', 'heartbeat', 'progress'), lease }) },
  { weight: 2, arbitrary: fc.record({ do: one('fail'), lease, permanent: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ do: one('cancel', 'retry'), key }) },
);
const mediaAction = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: one('move'), to: fc.constantFrom(...MEDIA_STATUSES), behind }) },
  { weight: 1, arbitrary: fc.record({ do: one('reopen'), behind }) },
);
export const actions: fc.Arbitrary<Action[]> = fc.array(
  fc.oneof({ weight: 5, arbitrary: queueAction }, { weight: 1, arbitrary: mediaAction }),
  { minLength: 10, maxLength: 60, size: 'max' },
);

export interface World {
  db: Db;
  /** Every lease handed out, newest first. */
  leases: ClaimedJob[];
  /** Key of each success whose commit went through, of each job whose death was told. */
  succeeded: string[];
  died: string[];
}

/** An empty database with one media that is being uploaded. */
export async function newWorld(db: Db): Promise<World> {
  for (const table of ['job', 'event', 'output', 'media'] as const) await db.deleteFrom(table).execute();
  await transact(db, (trx) =>
    createMedia(trx, {
      id: MEDIA,
      owner: 'ann',
      title: 'A',
      filename: null,
      filetype: null,
      visibility: 'private',
      status: 'uploading',
    }),
  );
  await db.updateTable('media').set({ sourceKey: 'media/m1/source' }).execute();
  return { db, leases: [], succeeded: [], died: [] };
}

/** Does it, and answers what the code under test answered; `undefined` also when there was nothing to do it with. */
export async function act(world: World, action: Action): Promise<unknown> {
  const { db, leases } = world;
  const held = 'lease' in action ? leases[action.lease % Math.max(1, leases.length)] : undefined;
  if ('lease' in action && !held) return undefined;
  switch (action.do) {
    case 'add': {
      const { key, maxAttempts, priority, owner } = action;
      return transact(db, (trx) =>
        queue.add(trx, { key, maxAttempts, priority, owner, task: 'do', mediaId: MEDIA }),
      );
    }
    case 'claim': {
      const job = await queue.claim(db, { worker: 'w', tasks: ['do'], leaseMs: LEASE_MS });
      if (job) leases.unshift(job);
      return job;
    }
    case 'complete': {
      const done = await transact(db, (trx) => queue.complete(trx, held!));
      if (done) world.succeeded.push(held!.key);
      return done;
    }
    case 'fail':
      return transact(db, (trx) =>
        queue.fail(trx, held!, { code: 'broken', message: 'It broke.', permanent: action.permanent }),
      );
    case 'release':
      return queue.release(db, held!);
    case 'heartbeat':
      return queue.heartbeat(db, held!, LEASE_MS);
    case 'progress':
      return queue.heartbeat(db, held!, LEASE_MS, { percent: 50 });
    case 'lapse':
      return put(db, 'running', { leaseUntil: 1 });
    case 'due':
      return put(db, 'queued', { runAt: 1 });
    case 'requeue':
      return queue.requeueLapsed(db, async (_trx, job) => void world.died.push(job.key));
    case 'cancelAll':
      return transact(db, (trx) => queue.cancelMediaJobs(trx, MEDIA));
    case 'cancel':
    case 'retry':
      return actOnJob(world, action);
    case 'move':
    case 'reopen':
      return actOnMedia(world, action);
  }
}

/** Sets the clock forward for all jobs of a status. Writes several rows, so PostgreSQL may choose it to break a deadlock. */
async function put(
  db: Db,
  status: 'queued' | 'running',
  time: { leaseUntil: number } | { runAt: number },
): Promise<void> {
  await transact(db, (trx) => trx.updateTable('job').set(time).where('status', '=', status).execute());
}

async function actOnJob({ db }: World, action: Extract<Action, { key: string }>): Promise<unknown> {
  const row = await db.selectFrom('job').select('id').where('key', '=', action.key).executeTakeFirst();
  const change = action.do === 'cancel' ? queue.cancelJob : queue.retryJob;
  return row && (await transact(db, (trx) => change(trx, row.id))) !== undefined;
}

async function actOnMedia({ db }: World, action: Extract<Action, { behind: number }>): Promise<unknown> {
  const media = await db.selectFrom('media').select('attempt').executeTakeFirstOrThrow();
  const attempt = media.attempt - action.behind;
  const row = await transact(db, (trx) =>
    action.do === 'move' ? transition(trx, MEDIA, action.to, { attempt }) : reopen(trx, MEDIA, attempt),
  );
  return row !== undefined;
}

/** Lets every job come to its end, as idle workers would. */
export async function drain(world: World): Promise<void> {
  for (let quiet = false; !quiet;) {
    for (const next of ['due', 'lapse', 'requeue'] as const) await act(world, { do: next });
    quiet = true;
    while (await act(world, { do: 'claim' })) {
      quiet = false;
      await act(world, { do: 'complete', lease: 0 });
    }
  }
}
