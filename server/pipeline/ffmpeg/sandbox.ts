/**
 * The walls around FFmpeg: what a hostile file can reach if it takes over a decoder.
 *
 * - bwrap: bubblewrap, with no network, no other processes, no capabilities, and no files but FFmpeg's own
 *   libraries, the one source (read-only) and one scratch folder. Where the system forbids user namespaces
 *   there is `none`: then the flags of flags.ts are all there is, and /readyz says so.
 * - prlimit: memory, processor time, size of one file, no core dumps; and the number of processes, where FFmpeg's can be
 *   told from others: behind bubblewrap, and as another user than root.
 * - setpriv: the kernel kills FFmpeg when we die (bubblewrap does that itself), and a server that runs as root gives
 *   FFmpeg another user: privileges.ts.
 * - unshare: without bubblewrap, where we are root and may, a namespace of processes that ends as a whole: a group of
 *   processes can be left (setsid), this can't.
 * - nice: requests are answered first, and uploads received (see autogroup.ts).
 * - choom: where memory runs out (proc_pid_oom_score_adj(5)) FFmpeg is killed, and not the server.
 */
import { execa } from 'execa';
import { access, constants, realpath } from 'node:fs/promises';
import { cpus, release } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import type { Config } from '../../config.ts';
import { MOST_THREADS } from '../../encoding-config.ts';
import { AS_NOBODY, yieldTo } from './privileges.ts';

export type SandboxKind = 'bwrap' | 'none';

export interface Confinement {
  kind: SandboxKind;
  /** Words to put before a command; each program runs what follows it. */
  nice: readonly string[];
  /** choom; empty where it doesn't work. */
  expendable: readonly string[];
  /** prlimit and what is the same for every run; empty where it doesn't work. */
  limits: readonly string[];
  /** Ends what follows when we end; empty where it doesn't work. */
  setpriv: readonly string[];
  /** setpriv can give up root, and what it starts then works. */
  yields: boolean;
  /** Without bubblewrap: processes that nobody outlives. */
  together: readonly string[];
  /** The limit of processes, last of all: it binds nobody who is root. */
  processes: readonly string[];
}

/** What one command may see. */
export interface View {
  /** Absolute path of the only file it may read. */
  source?: string | undefined;
  /** Absolute path of the only folder it may write: its working directory. */
  scratch?: string | undefined;
  /** Bytes that one file it writes may have, where FILE_SIZE_LIMIT is too small. */
  fileSize?: number | undefined;
  /** Gives way to all other runs. */
  background?: boolean | undefined;
  /** Its answer is waited for: it has its share beside them. */
  prompt?: boolean | undefined;
  /** Milliseconds after which it is killed: no processor works longer for it. */
  wallMs: number;
}

export interface Command {
  file: string;
  args: string[];
  cwd: string | undefined;
  /** The source's path as the command sees it. */
  source: string;
  /** How much it yields to other sessions (autogroup.ts); 0: not at all. */
  nice: number;
}

/** No single output file is larger, unless a step says so: a segment has 6 s, a poster one picture. */
const FILE_SIZE_LIMIT = 1024 ** 3;
/** What all runs yield. */
const NICE = 10;
/** On top of that: the kernel then gives the others eight times as much of a processor that both want. */
const BACKGROUND = 9;
/** A process that ignores the signal at the limit is killed a little later. Seconds. */
const CPU_GRACE = 10;
/** A first process that waits for its only child, and ends as that did: 128 and the signal, if one killed it. */
const TOGETHER = ['unshare', '--pid', '--fork', '--kill-child', 'sh', '-c', '"$@"; exit $?', 'sh'];
/** Processes of `nobody` that are none of ours. */
const OF_OTHERS = 1024;
/** As FFmpeg counts them: a container's CPU limit makes them slower, not fewer. */
const CORES = cpus().length;
/** An encoder starts about 1.5 threads per processor for each rung, up to a number; a decoder as many again, and each filter graph one per core. */
const THREAD_LIMIT = 256 + 64 * Math.min(CORES, MOST_THREADS) + 4 * CORES;
const SOURCE_INSIDE = '/in/source';
const SCRATCH_INSIDE = '/out';
/** FFmpeg's libraries, and what the dynamic linker needs to find them. Missing ones are skipped. */
const SYSTEM = [
  ...['/usr', '/bin', '/lib', '/lib32', '/lib64', '/nix/store'],
  ...['/etc/alternatives', '/etc/ld.so.cache', '/etc/ld.so.conf', '/etc/ld.so.conf.d'],
];

/**
 * glibc's malloc(3) gives large blocks back to the system at once and gets them anew, each page cleared, for every segment
 * that is written: half of the processor time of taking over a picture as it is. Bytes; elsewhere nobody reads them.
 */
const KEEP_MEMORY = {
  MALLOC_MMAP_THRESHOLD_: String(1024 ** 3),
  MALLOC_TRIM_THRESHOLD_: String(1024 ** 3),
  MALLOC_TOP_PAD_: String(32 * 1024 ** 2),
};

/** Our own environment holds secrets: commands get only what they need to start. */
export const commandEnvironment = (): Record<string, string> => ({
  PATH: process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin',
  LANG: 'C.UTF-8',
  AV_LOG_FORCE_NOCOLOR: '1',
  ...KEEP_MEMORY,
});

/** Finds out, by trying, which walls this system has. Throws when SANDBOX=require can't be kept. */
export async function detectConfinement(encoding: Config['encoding']): Promise<Confinement> {
  const setpriv = await ifWorks(['setpriv', '--no-new-privs', '--pdeathsig', 'KILL']);
  const common = {
    nice: await ifWorks(['nice', '-n', String(NICE)]),
    expendable: await ifWorks(['choom', '-n', '1000', '--']),
    limits: await ifWorks(['prlimit', `--as=${encoding.memoryLimit}`, '--core=0']),
    setpriv,
  };
  const asNobody = setpriv.length && process.getuid?.() === 0 ? [...setpriv, ...AS_NOBODY] : undefined;
  const tool = encoding.ffmpegPath;
  if (encoding.sandbox !== 'off' && (await bubblewrapWorks(tool)))
    return {
      ...{ ...common, kind: 'bwrap', together: [] },
      yields: asNobody !== undefined && (await bubblewrapWorks(tool, asNobody)),
      processes: countsByNamespace() ? atMost(THREAD_LIMIT) : [],
    };
  if (encoding.sandbox === 'require')
    throw new Error('SANDBOX is "require", but bubblewrap (bwrap) does not work on this system.');
  const runs = encoding.concurrency + encoding.early.concurrency;
  return {
    ...{ ...common, kind: 'none' },
    together: await ifWorks(TOGETHER),
    yields: asNobody !== undefined && (await works([...asNobody, 'true'])),
    // All that nobody runs on this machine counts, so there is room for all of ours at once, and for others.
    processes: await ifWorks(atMost(OF_OTHERS + runs * THREAD_LIMIT)),
  };
}

const atMost = (processes: number): string[] => ['prlimit', `--nproc=${processes}`];

/**
 * RLIMIT_NPROC counts all processes (and threads) of a user. Since Linux 5.14 it counts them by user namespace, so behind
 * bubblewrap those of this run alone. Root is never bound by it.
 */
function countsByNamespace(): boolean {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  return major > 5 || (major === 5 && minor >= 14);
}

/** The command line that runs `tool` with `args` behind the walls. `args` is told the source's path. */
export async function confine(
  confinement: Confinement,
  tool: string,
  args: (source: string) => string[],
  view: View,
): Promise<Command> {
  const { kind, nice, expendable, limits, setpriv, together, processes } = confinement;
  const source = kind === 'bwrap' ? SOURCE_INSIDE : (view.source ?? '');
  const nobody = confinement.yields && (await yieldTo(view)) ? [...setpriv, ...AS_NOBODY] : [];
  const walls =
    kind === 'bwrap'
      ? [...nobody, ...(await bubblewrap(tool, view)), ...processes]
      : [...setpriv, ...together, ...nobody, ...(nobody.length ? processes : [])];
  const bounds = limits.length ? [...limits, ...limitsOf(view)] : [];
  const last = nice.length && view.background ? [...nice, 'nice', '-n', String(BACKGROUND)] : nice;
  const [file = tool, ...rest] = [...last, ...expendable, ...bounds, ...walls, tool, ...args(source)];
  const yielded = nice.length && !view.prompt ? NICE + (view.background ? BACKGROUND : 0) : 0;
  return { file, args: rest, cwd: view.scratch, source, nice: yielded };
}

function limitsOf({ fileSize, wallMs }: View): string[] {
  const cpu = Math.ceil((wallMs / 1000) * CORES);
  return [`--fsize=${fileSize ?? FILE_SIZE_LIMIT}`, `--cpu=${cpu}:${cpu + CPU_GRACE}`];
}

async function bubblewrapWorks(tool: string, before: readonly string[] = []): Promise<boolean> {
  return works([...before, ...(await bubblewrap(tool, { wallMs: 0 })), tool, '-version']);
}

async function bubblewrap(tool: string, view: View): Promise<string[]> {
  const home = await homeOf(tool);
  const readable = [...SYSTEM, ...(home && !home.startsWith('/usr/') ? [home] : [])];
  return [
    'bwrap',
    ...['--unshare-all', '--cap-drop', 'ALL', '--die-with-parent'],
    ...readable.flatMap((path) => ['--ro-bind-try', path, path]),
    ...['--dev', '/dev', '--tmpfs', '/tmp'],
    ...(view.source ? ['--ro-bind', view.source, SOURCE_INSIDE] : []),
    ...(view.scratch ? ['--bind', view.scratch, SCRATCH_INSIDE, '--chdir', SCRATCH_INSIDE] : []),
    '--',
  ];
}

/** The folder of a program, which may lie outside of /usr. Undefined when there is no such program. */
export async function homeOf(tool: string): Promise<string | undefined> {
  const folders = tool.includes('/') ? [''] : commandEnvironment()['PATH']!.split(delimiter);
  for (const folder of folders) {
    const path = join(folder, tool);
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return dirname(await realpath(path));
  }
  return undefined;
}

/** The words, or none where they don't work on this system. */
const ifWorks = async (words: string[]): Promise<string[]> =>
  (await works([...words, 'true'])) ? words : [];

async function works([file = '', ...args]: string[]): Promise<boolean> {
  const { failed } = await execa(file, args, {
    reject: false,
    stdio: 'ignore',
    timeout: 10_000,
    env: commandEnvironment(),
    extendEnv: false,
  });
  return !failed;
}
