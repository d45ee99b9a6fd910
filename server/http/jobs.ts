/** `/api/jobs`: the work behind the media. */
import { Router, type Request } from 'express';
import { z } from 'zod';
import type { Db } from '../../db/dialect.ts';
import type { JobRow } from '../../db/schema.ts';
import { transact } from '../../db/transaction.ts';
import type { Principal, Scope } from '../auth/principal.ts';
import type { Context } from '../context.ts';
import { notFound } from '../errors.ts';
import { JOB_STATUSES, type JobStatus } from '../jobs/job.ts';
import type { Access } from './access.ts';
import { id, line, page, readQuery, toPage, wordsOf } from './input.ts';
import { viewJob, viewJobWhole } from './job-view.ts';
import { cancelOne, retryOne } from './retry.ts';
import { idOf, resource } from './routes.ts';

const listQuery = z.strictObject({
  ...page,
  media: id.optional(),
  status: wordsOf(JOB_STATUSES).optional(),
  task: line(50).optional(),
});

export function jobRoutes({ db, config }: Context, access: Access): Router {
  const router = Router();
  const own = async (req: Request, scope: Scope): Promise<JobRow> => {
    const principal = await access(req, scope);
    const job = await jobsOf(db, principal)
      .selectAll()
      .where('id', '=', idOf(req, 'No job'))
      .executeTakeFirst();
    if (!job) throw notFound('No job');
    return job;
  };

  resource(router, '/', {
    async get(req, res) {
      const principal = await access(req, 'read');
      const { limit, ...filter } = readQuery(req, listQuery);
      let query = jobsOf(db, principal)
        .selectAll()
        .orderBy('id', 'desc')
        .limit(limit + 1);
      if (filter.media !== undefined) query = query.where('mediaId', '=', filter.media);
      if (filter.status) query = query.where('status', 'in', filter.status);
      if (filter.task !== undefined) query = query.where('task', '=', filter.task);
      if (filter.cursor !== undefined) query = query.where('id', '<', filter.cursor);
      const { rows, nextCursor } = toPage(await query.execute(), limit);
      res.json({ items: rows.map(viewJob), nextCursor });
    },
  });

  resource(router, '/counts', {
    async get(req, res) {
      res.json(await counts(db, await access(req, 'read')));
    },
  });

  resource(router, '/:id', {
    async get(req, res) {
      res.json(viewJobWhole(await own(req, 'read')));
    },
  });

  resource(router, '/:id/retry', {
    async post(req, res) {
      const job = await own(req, 'upload');
      res.status(202).json(viewJobWhole(await transact(db, (trx) => retryOne(trx, job, config))));
    },
  });

  resource(router, '/:id/cancel', {
    async post(req, res) {
      const job = await own(req, 'upload');
      res.json(viewJobWhole(await transact(db, (trx) => cancelOne(trx, job, config))));
    },
  });

  return router;
}

/** The jobs that exist for a principal. */
function jobsOf(db: Db, principal: Principal) {
  const query = db.selectFrom('job');
  return principal.scopes.has('admin') ? query : query.where('owner', '=', principal.owner);
}

type Counts = Record<JobStatus, number>;

/** Jobs by status, in all and by task. */
async function counts(db: Db, principal: Principal): Promise<Counts & { tasks: Record<string, Counts> }> {
  const rows = await jobsOf(db, principal)
    .select(['task', 'status', (e) => e.fn.countAll<number>().as('n')])
    .groupBy(['task', 'status'])
    .orderBy('task')
    .execute();
  const tasks: Record<string, Counts> = {};
  const total = none();
  for (const { task, status, n } of rows) {
    (tasks[task] ??= none())[status as JobStatus] = Number(n);
    total[status as JobStatus] += Number(n);
  }
  return { ...total, tasks };
}

const none = (): Counts => Object.fromEntries(JOB_STATUSES.map((status) => [status, 0])) as Counts;
