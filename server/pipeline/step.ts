/**
 * Words of the pipeline.
 *
 * - step:    one kind of work on a media, e.g. `ladder`: a job's task of the same name
 * - output:  what a step stores, under a prefix nobody sees before its row is committed
 * - scratch: a local folder of one attempt, gone when it ends
 */
import type { OutputKind } from '../media/output.ts';
import type { Db } from '../../db/dialect.ts';
import type { MediaRow } from '../../db/schema.ts';
import type { Source } from '../media/source.ts';
import type { Commit, JobProgress } from '../jobs/job.ts';
import type { Config } from '../config.ts';
import type { Storage } from '../storage/storage.ts';
import type { Logger } from '../telemetry.ts';
import type { Ffmpeg } from './ffmpeg/ffmpeg.ts';
import type { Needs } from './footprint.ts';

export interface StepContext {
  media: MediaRow;
  /** What the job was given along. */
  payload: Record<string, unknown>;
  /** Counts the runs of this job, from 1. */
  attempt: number;
  /** Commits before the end of the step, and looks what follows from it. Rejects when the job isn't ours any more. */
  commit(work: Commit): Promise<void>;
  /** Local path of the uploaded file, read-only. */
  sourcePath(): Promise<string>;
  /** What the probe found. Throws before the probe. */
  source(): Source;
  /** Absolute path of an empty folder. */
  scratch: string;
  encoding: Config['encoding'];
  /** To read from; steps write by their commits. */
  db: Db;
  storage: Storage;
  ffmpeg: Ffmpeg;
  signal: AbortSignal;
  progress(progress: JobProgress): void;
  logger: Logger;
}

/** What `advance` knows about a media when it asks what to do next. */
export interface MediaState {
  source: Source | undefined;
  /** Complete ones. */
  outputs: ReadonlySet<OutputKind>;
  /** Those that are being made, and have something already. */
  begun: ReadonlySet<OutputKind>;
  /** Every rung and every sound is there. */
  whole: boolean;
  /** Steps whose jobs have ended in this attempt of the media, well or not. */
  ended: ReadonlySet<string>;
  /** The first variant was begun while the upload arrived, and is not complete. */
  early: boolean;
  /** What the installation wants. */
  encoding: Config['encoding'];
}

export interface Step {
  /** Also the task of its jobs. */
  name: string;
  /** Higher runs first. */
  priority: number;
  /** Without it a media isn't ready, and when it fails the media fails. */
  required: boolean;
  /** Optional, and no other step builds upon it or takes its place: it can be run again by itself at any time. */
  extra?: true;
  /**
   * A media is ready before it. Its jobs have a worker of their own and give way to all others, as they take long and
   * nobody waits for them.
   */
  background?: true;
  /** The step that adds its jobs, each of which makes a part of that one's output: without one of them the others stop. */
  partOf?: string;
  /** Its work is there. */
  done(state: MediaState): boolean;
  /** It can run, and this media has a need of it. */
  due(state: MediaState): boolean;
  /** Milliseconds for which its job lets others begin when it becomes due; 0 ends that at once. */
  delayMs?(state: MediaState): number;
  /** It works on what is stored already, and never asks for `sourcePath()`. */
  fromStored?: true;
  /** What it takes of the machine beyond the little that every step may take, estimated from above. */
  needs?(source: Source, encoding: Config['encoding']): Needs;
  /** Does the work; resolves with what to write into the database. Throws `JobError`. */
  run(ctx: StepContext): Promise<Commit>;
}
