/** What went wrong, as a job failure: a stable code, a sentence for people, and whether trying again can help. */
import { isOutage } from '../errors.ts';
import { JobError } from '../jobs/job.ts';
import { ToolError } from './ffmpeg/spawn.ts';

/** The source is at fault: trying again can't help. */
export const refuse = (code: string, message: string, log?: string): JobError =>
  new JobError({ code, message, permanent: true, ...(log ? { logTail: log } : {}) });

interface Verdict {
  code: string;
  message: string;
  permanent?: true;
}

/**
 * Failures that a second try may cure, and a fifth won't: a machine that was too busy once, or a file that will do the same
 * to every worker.
 */
const TWICE = new Set([
  'encode_stalled',
  'encode_timeout',
  'encode_crashed',
  'encode_failed',
  'out_of_memory',
]);

/** What programs exit with whose child was killed by this signal, as shells and bubblewrap report it. */
const SIGKILLED = /^(SIGKILL|exit 137)$/;
/** SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS. */
const CRASHED = /^(SIG(ILL|ABRT|BUS|FPE|SEGV|SYS)|exit (132|134|135|136|139|159))$/;
/** SIGXCPU: the limit of processor time. FFmpeg takes it for a wish to end, and says so. */
const TOO_LONG = /^(SIGXCPU|exit 152)$/;
/** SIGXFSZ: the limit of the size of one file. */
const TOO_LARGE = /^(SIGXFSZ|exit 153)$/;

const TOO_MUCH: Verdict = {
  code: 'output_too_large',
  message: 'It became far larger than it may.',
  permanent: true,
};
const TIMEOUT: Verdict = {
  code: 'encode_timeout',
  message: 'The encoder took far longer than it should and was stopped.',
};

const BY_END: Partial<Record<ToolError['end'], Verdict>> = {
  stalled: {
    code: 'encode_stalled',
    message: 'The encoder made no progress for longer than STALL_TIMEOUT and was stopped.',
  },
  timeout: TIMEOUT,
  flooded: TOO_MUCH,
  killed: { code: 'encode_killed', message: 'The encoder was killed, perhaps because memory ran out.' },
  missing: {
    code: 'ffmpeg_missing',
    message: 'FFmpeg is not installed on this worker, or can not be started.',
  },
};

const NO_SPACE: Verdict = { code: 'no_space', message: 'The worker has no disk space left.' };

/** Lines of FFmpeg that tell the worker's troubles from the file's. The first that matches decides. */
const BY_LINE: readonly [RegExp, Verdict][] = [
  [/received signal 24/, TIMEOUT],
  [/No space left on device/, NO_SPACE],
  [
    /Cannot allocate memory|Resource temporarily unavailable|malloc.*failed/i,
    { code: 'out_of_memory', message: 'The encoder ran out of memory.' },
  ],
  [
    /exceeds specified max pixel count|Picture size \S+ is invalid/,
    {
      code: 'too_large_picture',
      message: 'Its picture has more pixels than are accepted here.',
      permanent: true,
    },
  ],
  [
    /[Dd]ecoder .*not found|No decoder|[Uu]nsupported codec|codec not currently supported/,
    {
      code: 'unsupported_codec',
      message: 'It is stored in a way that this server can not decode.',
      permanent: true,
    },
  ],
  [
    /Invalid data found|Error while decoding|Error submitting|Output file is empty|Nothing was written|does not contain any stream|Error marking filters|Error reinitializing filters/,
    {
      code: 'not_decodable',
      message:
        'Its sound or picture can not be decoded: the file is damaged. Play it on your computer to check.',
      permanent: true,
    },
  ],
];

/** Turns the end of an ffmpeg run into a job failure. Other errors, and a run that was told to stop, pass through. */
export function encodeFailure(error: unknown): unknown {
  if (!(error instanceof ToolError) || error.end === 'aborted') return error;
  const verdict = byStatus(error.exitStatus, error.end) ??
    BY_END[error.end] ??
    BY_LINE.find(([pattern]) => pattern.test(error.log))?.[1] ?? {
      code: 'encode_failed',
      message: 'The encoder failed. The log says why.',
    };
  return new JobError(
    {
      code: verdict.code,
      message: verdict.message,
      permanent: verdict.permanent ?? false,
      exitStatus: error.exitStatus,
      logTail: error.log,
    },
    { cause: error },
  );
}

function byStatus(exitStatus: string, end: ToolError['end']): Verdict | undefined {
  if (end !== 'exit' && end !== 'killed') return undefined; // we killed it, and know why
  if (SIGKILLED.test(exitStatus)) return BY_END.killed;
  if (CRASHED.test(exitStatus))
    return { code: 'encode_crashed', message: 'The decoder or encoder crashed at this file.' };
  if (TOO_LONG.test(exitStatus)) return BY_END.timeout;
  if (TOO_LARGE.test(exitStatus)) return TOO_MUCH;
  return undefined;
}

/** FFmpeg could not write all that it should. It can be tried again. */
export const diskFull = (): JobError => new JobError({ ...NO_SPACE, permanent: false });

/** FFmpeg could not do it with this file: it would say the same again. */
export const saidNo = (error: unknown): boolean =>
  error instanceof JobError && /^exit [1-9]/.test(error.failure.exitStatus ?? '');

/** The source is at fault, whoever looks at it. */
export const refusal = (error: unknown): boolean => error instanceof JobError && error.failure.permanent;

const FULL = new Set(['ENOSPC', 'EDQUOT']);

/** A disk has no room. */
export const isFull = (error: unknown): boolean =>
  FULL.has(String((error as { code?: unknown } | null)?.code));

/**
 * What ended a step, as the queue is to take it: disks that are full and storage that is away get codes of their own,
 * and what failed twice in a way that hardly ever passes is not tried a third time. All else passes through.
 */
export function stepFailure(error: unknown, attempts: number): unknown {
  if (error instanceof JobError) {
    const { failure } = error;
    const last = attempts >= 2 && TWICE.has(failure.code);
    return last ? new JobError({ ...failure, permanent: true }, { cause: error.cause }) : error;
  }
  const verdict = outside(error);
  const logTail = (error as Error | null)?.stack;
  return verdict ? new JobError({ ...verdict, permanent: false, logTail }, { cause: error }) : error;
}

function outside(error: unknown): Verdict | undefined {
  if (isFull(error)) return { code: 'no_space', message: 'The disk of the worker or of storage is full.' };
  if (isOutage(error))
    return { code: 'storage_unavailable', message: 'Storage could not be reached. It is tried again.' };
  return undefined;
}
