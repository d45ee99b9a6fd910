/** One run of a confined program, in a process group of its own, which is killed as a whole. */
import { execa } from 'execa';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { yieldAsGroup } from './autogroup.ts';
import { commandEnvironment, type Command } from './sandbox.ts';

export interface Limits {
  /** Aborting kills the run. */
  signal?: AbortSignal | undefined;
  /** Kills the run after this time, whatever it does. */
  wallMs: number;
  /** Kills the run when it showed no progress for this time. */
  stallMs?: number | undefined;
  /** Kills the run when it has written more than this: what never ends also goes on. */
  most?: { frames: number; seconds: number } | undefined;
}

export interface Watched extends Limits {
  /** Written to standard input as it comes. While it is waited for, nothing stalls. */
  stdin?: AsyncIterable<Buffer> | undefined;
  onStdoutLine?: ((line: string) => void) | undefined;
  /** Lines of file descriptor 3. */
  onProgressLine?: ((line: string) => void) | undefined;
}

/** Why a run ended without success. */
export type ToolEnd =
  'exit' | 'killed' | 'aborted' | 'timeout' | 'stalled' | 'flooded' | 'overflow' | 'missing';

export class ToolError extends Error {
  readonly end: ToolEnd;
  /** `exit 1`, `SIGKILL`, … */
  readonly exitStatus: string;
  /** The last lines of stderr. */
  readonly log: string;
  constructor(file: string, end: ToolEnd, exitStatus: string, log: string) {
    super(`${file} ended: ${end} (${exitStatus})`);
    this.name = 'ToolError';
    this.end = end;
    this.exitStatus = exitStatus;
    this.log = log;
  }
}

/** What nice, prlimit and shells exit with when there is no such program. */
const NOT_FOUND = 127;
/** Stall times that frames may go on while time doesn't. */
const PATIENCE = 10;
const LOG_LINES = 40;
const LOG_LINE_LENGTH = 500;
/** Characters of standard output that are kept; ffprobe's answer on a sane file has a few thousand. */
const STDOUT_LIMIT = 8 * 1024 * 1024;

/** Runs a command to its end. Throws `ToolError` unless it exits with 0. */
export async function spawnTool(
  command: Command,
  watched: Watched,
): Promise<{ stdout: string; log: string }> {
  watched.signal?.throwIfAborted();
  const child = execa(command.file, command.args, {
    // Its own group: a signal to us doesn't reach it, and ours to the group reaches all of it.
    detached: true,
    stdio: [watched.stdin ? 'pipe' : 'ignore', 'pipe', 'pipe', 'pipe'],
    buffer: false,
    reject: false,
    env: commandEnvironment(),
    extendEnv: false,
    ...(command.cwd ? { cwd: command.cwd } : {}),
  });
  if (child.pid && command.nice) void yieldAsGroup(child.pid, command.nice);
  let end: ToolEnd = 'exit';
  const stop = (why: ToolEnd): void => {
    const over = child.exitCode !== null || child.signalCode !== null;
    // Too much is too much, also when its last word says so.
    if (end !== 'exit' || (over && why !== 'flooded')) return;
    end = why;
    if (!over) killGroup(child.pid);
  };
  const watch = watchdog(watched, stop);
  const log: string[] = [];
  const out = collector(watched.onStdoutLine, stop);
  const drained = [
    eachLine(child.stdout, (line) => (watch.alive(), out.take(line))),
    eachLine(child.stderr, (line) => remember(log, line)),
    eachLine(child.stdio[3], (line) => (watch.sawProgress(line), watched.onProgressLine?.(line))),
    ...(watched.stdin && child.stdin ? [feed(child.stdin, watched.stdin, watch, child)] : []),
  ];
  try {
    const [result] = await Promise.all([child, ...drained]);
    if (!result.failed && end === 'exit') return { stdout: out.text(), log: log.join('\n') };
    const { signal, exitCode, code = 'unknown' } = result;
    if (end === 'exit' && (code === 'ENOENT' || exitCode === NOT_FOUND)) end = 'missing';
    if (end === 'exit' && signal) end = 'killed';
    throw new ToolError(
      command.file,
      end,
      signal ?? (exitCode === undefined ? code : `exit ${exitCode}`),
      log.join('\n'),
    );
  } finally {
    stop('aborted'); // only when its input or reading its output failed: then it still runs
    await child;
    watch.close();
  }
}

/** SIGKILL, because FFmpeg may ignore others while it writes. The group has the number of its first process. */
function killGroup(pid: number | undefined): void {
  if (!pid) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // ESRCH: it ended by itself
  }
}

function watchdog({ signal, wallMs, stallMs, most }: Limits, stop: (why: ToolEnd) => void) {
  const onAbort = (): void => stop('aborted');
  signal?.addEventListener('abort', onAbort, { once: true });
  const wall = setTimeout(() => stop('timeout'), wallMs);
  let stall: NodeJS.Timeout | undefined;
  let fasting = false;
  const alive = (): void => {
    clearTimeout(stall);
    if (stallMs && !fasting) stall = setTimeout(() => stop('stalled'), stallMs);
  };
  alive();
  let frames = 0;
  let time = 0;
  let timeMoved = performance.now();
  return {
    alive,
    /** It has nothing to read (true), or has again: only then it can stall. */
    fast(is: boolean) {
      fasting = is;
      alive();
    },
    /**
     * A run that only repeats the same numbers is as good as dead. So is one that makes more and more frames of the same
     * time, but not at once: a sound that lies far before its picture is where FFmpeg's time is, until the picture comes.
     */
    sawProgress(line: string) {
      const [, key = '', digits = ''] = /^(frame|out_time_us)=(\d+)$/.exec(line.trim()) ?? [];
      const value = Number(digits);
      if (key === 'out_time_us' && value > time) {
        if (most && value > most.seconds * 1e6) stop('flooded');
        time = value;
        timeMoved = performance.now();
        alive();
      }
      if (key === 'frame' && value > frames) {
        if (most && value > most.frames) stop('flooded');
        frames = value;
        if (!time || performance.now() - timeMoved < PATIENCE * (stallMs ?? 0)) alive();
      }
    },
    close() {
      clearTimeout(wall);
      clearTimeout(stall);
      signal?.removeEventListener('abort', onAbort);
    },
  };
}

/** Until the source ends or the program does, which may have read enough. Throws what the source throws. */
async function feed(
  stdin: Writable,
  chunks: AsyncIterable<Buffer>,
  watch: { fast(is: boolean): void },
  ended: Promise<unknown>,
): Promise<void> {
  let over = false;
  const end = ended.then(() => void (over = true));
  stdin.on('error', () => undefined); // EPIPE: how it ended says why
  const source = chunks[Symbol.asyncIterator]();
  for (;;) {
    watch.fast(true);
    const next = await Promise.race([source.next(), end]);
    watch.fast(false);
    if (over || !next || next.done) break;
    await Promise.race([written(stdin, next.value), end]);
  }
  stdin.end();
}

/** Resolves when nobody reads the chunk's memory any more. */
const written = (to: Writable, chunk: Buffer): Promise<void> =>
  new Promise((resolve) => to.write(chunk, () => resolve()));

function collector(onLine: ((line: string) => void) | undefined, stop: (why: ToolEnd) => void) {
  const lines: string[] = [];
  let length = 0;
  return {
    take(line: string) {
      if (onLine) return onLine(line);
      length += line.length + 1;
      if (length > STDOUT_LIMIT) return stop('overflow');
      lines.push(line);
    },
    text: () => lines.join('\n'),
  };
}

function remember(log: string[], line: string): void {
  log.push(line.slice(0, LOG_LINE_LENGTH));
  if (log.length > LOG_LINES) log.shift();
}

async function eachLine(stream: Readable, take: (line: string) => void): Promise<void> {
  for await (const line of createInterface({ input: stream, crlfDelay: Infinity })) take(line);
}
