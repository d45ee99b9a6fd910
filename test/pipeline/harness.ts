/** Runs the pipeline of one source, job by job, as a worker would, on SQLite and a disk store of its own. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { openDatabase } from '../../db/dialect.ts';
import { migrate } from '../../db/migrate.ts';
import type { JobRow, MediaRow, OutputRow } from '../../db/schema.ts';
import { transact } from '../../db/transaction.ts';
import { loadConfig } from '../../server/config.ts';
import type { Context } from '../../server/context.ts';
import type { HlsDetails } from '../../server/hls/model.ts';
import { shown } from '../../server/hls/multivariant.ts';
import { multivariantOf } from '../../server/http/playlists.ts';
import { newId } from '../../server/ids.ts';
import {
  JobError,
  JobPostponed,
  type ClaimedJob,
  type Commit,
  type JobProgress,
} from '../../server/jobs/job.ts';
import { claim, complete, fail, hold, release } from '../../server/jobs/queue.ts';
import { hlsOutputs } from '../../server/media/growing.ts';
import { createMedia, transition } from '../../server/media/media.ts';
import { advance, backgroundTasks, mediaFailed, pipelineTasks } from '../../server/pipeline/index.ts';
import { DiskStorage } from '../../server/storage/disk.ts';
import { mediaPrefix, sourceKey } from '../../server/storage/storage.ts';

export interface Bench {
  ctx: Context;
  storage: DiskStorage;
  /** Stores the file as a finished upload; its first job is queued. */
  upload(file: string): Promise<string>;
  /** Runs the pipeline's jobs until none is due: those of `only`, or all of them. */
  drain(...only: string[]): Promise<void>;
  /** Runs jobs up to the first of this task. */
  runTo(task: string): Promise<void>;
  media(id: string): Promise<MediaRow>;
  jobs(id: string): Promise<JobRow[]>;
  outputs(id: string): Promise<OutputRow[]>;
  /** What viewers get: the folder with its multivariant playlist, `index.m3u8`, and what that tells of. */
  stream(id: string): Promise<{
    root: string;
    details: Pick<HlsDetails, 'duration' | 'variants' | 'audio'>;
    /** For `checkHls`. */
    originOf(name: string): 'encoded' | 'kept';
  }>;
  /** Progress of each job in the order it was reported. */
  progress: Map<string, JobProgress[]>;
  close(): Promise<void>;
}

const WORKER = { worker: 'test', leaseMs: 60_000 };

/** Opens everything in a temporary folder; `env` overrides the configuration. */
export async function openBench(env: Record<string, string> = {}): Promise<Bench> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-pipeline-'));
  const config = loadConfig({ DATA_DIR: dir, LOG_LEVEL: 'silent', X264_PRESET: 'ultrafast', ...env });
  const db = openDatabase({ file: join(dir, 'test.db') });
  await migrate(db);
  const storage = new DiskStorage(join(dir, 'storage'));
  const logger = pino({ level: 'silent' });
  const telemetry = { logger, registry: new Registry() };
  const ctx: Context = { config, db, storage, logger, telemetry, secret: new Uint8Array(32) };
  const tasks = { ...pipelineTasks(ctx), ...backgroundTasks(ctx) };
  const progress = new Map<string, JobProgress[]>();
  await mkdir(config.encoding.scratchDir, { recursive: true });

  const run = async (job: ClaimedJob): Promise<void> => {
    const seen: JobProgress[] = [];
    progress.set(job.key, seen);
    try {
      const { signal } = new AbortController();
      const checkpoint = (work: Commit): Promise<void> =>
        transact(db, async (trx) => {
          if (!(await hold(trx, job)))
            throw new JobError({ code: 'lease_lost', message: 'It was cancelled.', permanent: false });
          await work(trx);
        });
      const progressed = (p: JobProgress): void => void seen.push(p);
      const commit = await tasks[job.task]!({ job, signal, logger, checkpoint, progress: progressed });
      await transact(db, async (trx) => {
        if (await complete(trx, job)) await commit?.(trx);
      });
    } catch (error) {
      if (error instanceof JobPostponed) return release(db, job, error.postponement);
      if (!(error instanceof JobError)) throw error;
      await transact(db, async (trx) => {
        if ((await fail(trx, job, error.failure)) === 'failed')
          await mediaFailed(trx, job, error.failure, config.encoding);
      });
    }
  };

  return {
    ...{ ctx, storage, progress },
    async upload(file) {
      const id = newId();
      await storage.putFile(sourceKey(id), file);
      await transact(db, async (trx) => {
        const name = { title: 'test', filename: null, filetype: null };
        await createMedia(trx, { id, owner: 'me', ...name, visibility: 'private', status: 'uploading' });
        const row = await transition(trx, id, 'processing', { attempt: 1 }, { sourceKey: sourceKey(id) });
        await advance(trx, row!, config.encoding);
      });
      return id;
    },
    async drain(...only) {
      for (;;) {
        const job = await claim(db, { ...WORKER, tasks: only.length ? only : Object.keys(tasks) });
        if (!job) return;
        await run(job);
      }
    },
    async runTo(task) {
      for (let ran = ''; ran !== task;) {
        const job = await claim(db, { ...WORKER, tasks: Object.keys(tasks) });
        if (!job) throw new Error(`no ${task} job came`);
        await run(job);
        ran = job.task;
      }
    },
    media: (id) => db.selectFrom('media').selectAll().where('id', '=', id).executeTakeFirstOrThrow(),
    jobs: (id) => db.selectFrom('job').selectAll().where('mediaId', '=', id).orderBy('id').execute(),
    outputs: (id) => db.selectFrom('output').selectAll().where('mediaId', '=', id).execute(),
    async stream(id) {
      const root = storage.pathOf(mediaPrefix(id));
      const playlist = await multivariantOf(db, id);
      await writeFile(join(root, 'index.m3u8'), playlist!.text);
      const outputs = shown(await hlsOutputs(db, id));
      const all = outputs.map(({ details }) => details);
      const kept = outputs.filter(({ details }) => details.kept).map((output) => output.id);
      const originOf = (name: string) => (kept.some((each) => name.startsWith(each)) ? 'kept' : 'encoded');
      const variants = all.flatMap((d) => d.variants).sort((a, b) => b.height - a.height);
      const details = { duration: all[0]!.duration, variants, audio: all.flatMap((d) => d.audio) };
      return { root, details, originOf };
    },
    async close() {
      await db.destroy();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
