/** What comes next for a media, derived from its rows alone: there are no counters that could go wrong. */
import type { Trx } from '../../db/dialect.ts';
import type { MediaRow } from '../../db/schema.ts';
import type { Config } from '../config.ts';
import { add, cancelMediaJobs, hasten } from '../jobs/queue.ts';
import type { ClaimedJob, JobFailure } from '../jobs/job.ts';
import { lockMedia, transition, type MediaError } from '../media/media.ts';
import { hlsOutputs } from '../media/growing.ts';
import type { OutputKind } from '../media/output.ts';
import type { Source } from '../media/source.ts';
import { endAttempts } from '../providers/index.ts';
import { advanceElsewhere, isAwaitedElsewhere, isLeftToProvider, leaveToProvider } from './elsewhere.ts';
import { EARLY, awaitsEarly, dropEarly } from './early/job.ts';
import { joinWhatIsWhole } from './parts/parts.ts';
import type { MediaState, Step } from './step.ts';
import { foundation, missingRungs } from './output/supersede.ts';
import { av1Steps, hevcSteps } from './steps/better-codecs.ts';
import { chunkStep } from './steps/chunk.ts';
import { copyStep } from './steps/copy.ts';
import { m4aStep, mp4Step } from './steps/downloads.ts';
import { firstStep } from './steps/first.ts';
import { joinStep } from './steps/join.ts';
import { ladderStep } from './steps/ladder.ts';
import { posterStep } from './steps/poster.ts';
import { probeStep } from './steps/probe.ts';
import { storyboardStep } from './steps/storyboard.ts';
import { subtitlesStep } from './steps/subtitles.ts';
import { waveformStep } from './steps/waveform.ts';

/** Every step, in the order in which they become due. */
export const STEPS: readonly Step[] = [
  ...[probeStep, copyStep, firstStep, posterStep, subtitlesStep, ladderStep],
  ...[chunkStep, joinStep],
  ...[storyboardStep, waveformStep, m4aStep, mp4Step],
  ...[...hevcSteps, ...av1Steps],
];

/** A step without which a media is ready, and which runs alone. */
export const isBackground = (task: string): boolean =>
  STEPS.some(({ name, background }) => background && name === task);

/** Tasks of all our own work on a media. */
const TASKS = [EARLY, ...STEPS.map(({ name }) => name)];

/**
 * Adds the jobs that are due and makes the next transitions. Adding is idempotent: call it after every change of a
 * media that may matter. Does nothing for a media that is not being processed; of a ready one only joins what is made in
 * the background.
 */
export async function advance(trx: Trx, media: MediaRow, encoding: Config['encoding']): Promise<void> {
  if (media.deletedAt !== null) return;
  if (media.status === 'ready') return joinWhatIsWhole(trx, media, priorityOf);
  if (!['processing', 'playable'].includes(media.status)) return;
  if (isLeftToProvider(media)) {
    if (await advanceElsewhere(trx, media)) await addDropSource(trx, media, encoding.keepSourceMs);
    return;
  }
  const state = await stateOf(trx, media, encoding);
  for (const step of STEPS)
    if (!step.partOf && !step.done(state) && step.due(state))
      await addJob(trx, media, step, step.delayMs?.(state));
  await joinWhatIsWhole(trx, media, priorityOf);
  const awaited = await isAwaitedElsewhere(trx, media, state);
  if (!state.plays) return;
  if (media.status === 'processing') await transition(trx, media.id, 'playable', { attempt: media.attempt });
  if (!awaited && !state.early && isReady(state)) {
    await transition(trx, media.id, 'ready', { attempt: media.attempt });
    await addTidy(trx, media);
    await addDropSource(trx, media, encoding.keepSourceMs);
  }
}

/**
 * What follows when a job has failed for good, or somebody has cancelled it. A required step takes its media along, unless
 * a provider encodes it too; without an optional one (a poster) the media goes on.
 */
export async function mediaFailed(
  trx: Trx,
  job: Pick<ClaimedJob, 'task' | 'mediaId' | 'mediaAttempt'>,
  failure: Pick<JobFailure, 'code' | 'message'>,
  encoding: Config['encoding'],
): Promise<void> {
  const step = STEPS.find(({ name }) => name === job.task);
  const early = job.task === EARLY;
  if (!(step || early) || !job.mediaId || job.mediaAttempt === null) return;
  // Locked: what a provider says at the same moment must see this, or be seen.
  const media = await lockMedia(trx, job.mediaId);
  if (!media || media.deletedAt !== null || media.attempt !== job.mediaAttempt) return;
  if (early) await dropEarly(trx, media.id);
  if (step?.partOf) await cancelMediaJobs(trx, media.id, togetherWith(job.task));
  if (!step?.required) return advance(trx, media, encoding);
  const error = { code: failure.code, message: failure.message };
  await failMedia(trx, media, { task: job.task, error }, encoding);
}

/**
 * What follows when a task that a media can't be without has ended with this error; the transaction has locked the media.
 * It fails, unless the task was ours and a provider has its own version of the media, or is making one: then it goes on
 * with that.
 */
export async function failMedia(
  trx: Trx,
  media: MediaRow,
  { task, error }: { task: string; error: MediaError },
  encoding: Config['encoding'],
): Promise<void> {
  const left = TASKS.includes(task) ? await leaveToProvider(trx, media, error) : undefined;
  if (!left && !(await transition(trx, media.id, 'failed', { attempt: media.attempt }, { error }))) return;
  if (left) await cancelMediaJobs(trx, media.id, TASKS);
  else {
    await cancelMediaJobs(trx, media.id);
    await endAttempts(trx, media.id);
  }
  await dropGrowing(trx, media);
  await addTidy(trx, media);
  if (left) await advance(trx, left, encoding);
}

/**
 * Whether this task can be run again by itself, in the attempt that its media is in: its step is one that nothing builds
 * upon, and what it makes is missing.
 */
export async function isMissingExtra(
  trx: Trx,
  media: MediaRow,
  task: string,
  encoding: Config['encoding'],
): Promise<boolean> {
  const step = STEPS.find(({ name }) => name === task);
  if (!step?.extra) return false;
  const state = await stateOf(trx, media, encoding);
  return step.due(state) && !step.done(state);
}

/** The tasks whose jobs for a media are of no use without each other: those of the parts of one output, or this one alone. */
export function togetherWith(task: string): string[] {
  const whole = STEPS.find(({ name }) => name === task)?.partOf;
  return whole ? STEPS.filter(({ partOf }) => partOf === whole).map(({ name }) => name) : [task];
}

/** Whether this task's step reads the uploaded file. */
export const needsUpload = (task: string): boolean =>
  STEPS.some(({ name, fromStored }) => name === task && !fromStored);

/** Half a stream is no stream; `tidy` removes its bytes. */
async function dropGrowing(trx: Trx, media: MediaRow): Promise<void> {
  const streams = await hlsOutputs(trx, media.id, { opening: true });
  for (const { id, details } of streams)
    if (details.state !== 'complete') await trx.deleteFrom('output').where('id', '=', id).execute();
}

interface State extends MediaState {
  /** Viewers can begin: there are renditions, perhaps still growing. */
  plays: boolean;
}

async function stateOf(trx: Trx, media: MediaRow, encoding: Config['encoding']): Promise<State> {
  const early = await awaitsEarly(trx, media);
  const outputs = await trx.selectFrom('output').select('kind').where('mediaId', '=', media.id).execute();
  const streams = await hlsOutputs(trx, media.id, { opening: true });
  const growing = streams.filter(({ details }) => details.state !== 'complete').map(({ kind }) => kind);
  const kinds = outputs.map(({ kind }) => kind).filter((kind) => !growing.includes(kind));
  const source = media.source ? (JSON.parse(media.source) as Source) : undefined;
  const built = source && foundation(streams, source, encoding);
  const complete = built?.details.state === 'complete';
  return {
    source,
    outputs: new Set(kinds as OutputKind[]),
    begun: new Set(growing as OutputKind[]),
    whole:
      kinds.includes('ladder') ||
      (!!source && complete && missingRungs(built, source, encoding).length === 0),
    ended: await endedSteps(trx, media),
    early,
    // What was begun before the probe counts when it has been compared with the whole; a copy of that kind, when it is complete.
    plays:
      streams.some(
        ({ kind, details: { state } }) =>
          state === 'complete' ||
          (state === 'growing' && media.source !== null && !(early && kind === 'copy')),
      ) || outputs.some(({ kind }) => kind === 'stream'),
    encoding,
  };
}

/** A job that was told to stop has nothing more to say, also while its worker still stops it. */
async function endedSteps(trx: Trx, media: MediaRow): Promise<Set<string>> {
  const rows = await trx
    .selectFrom('job')
    .select('task')
    .where('mediaId', '=', media.id)
    .where('mediaAttempt', '=', media.attempt)
    .where((eb) =>
      eb.or([eb('status', 'in', ['succeeded', 'failed', 'cancelled']), eb('cancelRequested', '=', 1)]),
    )
    .execute();
  return new Set(rows.map(({ task }) => task));
}

/** Every step that has a need is done, or is optional and has ended without an output. Those in the background come later. */
const isReady = (state: MediaState): boolean =>
  STEPS.filter((step) => !step.background && !step.done(state) && step.due(state)).every(
    ({ name, required }) => !required && state.ended.has(name),
  );

const priorityOf = (step: string): number => STEPS.find(({ name }) => name === step)?.priority ?? 0;

const keyOf = (media: MediaRow, step: string): string => `${media.id}:${step}:${media.attempt}`;

async function addJob(trx: Trx, media: MediaRow, step: Step, delayMs?: number): Promise<void> {
  const key = keyOf(media, step.name);
  if (delayMs === 0 && (await hasten(trx, key))) return;
  await add(trx, {
    key,
    task: step.name,
    mediaId: media.id,
    mediaAttempt: media.attempt,
    owner: media.owner,
    priority: step.priority,
    ...(delayMs ? { runAt: Date.now() + delayMs } : {}),
  });
}

/** Removes what killed attempts stored and no row names. */
async function addTidy(trx: Trx, media: MediaRow): Promise<void> {
  await add(trx, {
    key: keyOf(media, 'tidy'),
    task: 'tidy',
    mediaId: media.id,
    owner: media.owner,
    maxAttempts: 20,
  });
}

/** The task that deletes a source. */
export const DROP_SOURCE = 'drop-source';

/** By KEEP_SOURCE. */
async function addDropSource(trx: Trx, media: MediaRow, keepMs: number): Promise<void> {
  if (keepMs === Infinity) return;
  await add(trx, {
    key: keyOf(media, DROP_SOURCE),
    task: DROP_SOURCE,
    mediaId: media.id,
    owner: media.owner,
    maxAttempts: 20,
    runAt: Date.now() + keepMs,
  });
}
