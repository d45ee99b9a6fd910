/** The servers that are measured, each a real process (or several) with a folder or bucket prefix of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../test/ports.ts';

const KEY = 'bench-key-0123456789abcdef';
const MAIN = join(import.meta.dirname, '../../dist/server/main.js');

export interface Subject {
  name: string;
  /** What a request needs to be let in. */
  headers: Record<string, string>;
  /** Starts the process that listens on `port` and keeps its bytes in `dir`. */
  command(port: number, dir: string): { args: string[]; env: Record<string, string> };
  /** Of its data folder: where the uploads' bytes are. */
  bytes: string;
}

export interface Running extends Subject {
  port: number;
  pid: number;
  /** Deletes the bytes of finished runs, so that the disk need not write them. */
  clean(): Promise<void>;
  stop(): Promise<void>;
}

/** Settings of this server that no measurement is about: quiet, no disk too full, as many unfinished uploads as it takes, and no work on them. */
const QUIET = {
  ...{ LOG_LEVEL: 'warn', LOG_FORMAT: 'json', HOST: '127.0.0.1' },
  ...{ DISK_FLOOR: '0', UPLOADS_PER_OWNER: '0', EARLY: 'false', SANDBOX: 'off' },
};

export const millrace = (name: string, env: Record<string, string>): Subject => ({
  name,
  headers: { Authorization: `Bearer ${KEY}` },
  bytes: 'incoming',
  command: (port, dir) => ({
    args: [MAIN],
    env: { ...QUIET, ADMIN_KEY: KEY, DATA_DIR: dir, PORT: String(port), ...env },
  }),
});

export const bareTus = (name: string, env: Record<string, string> = {}): Subject => ({
  name,
  headers: {},
  bytes: '',
  command: (port, dir) => program('tus-process.ts', port, dir, env),
});

export const sink = (name: string, env: Record<string, string> = {}): Subject => ({
  name,
  headers: {},
  bytes: '',
  command: (port, dir) => program('sink-process.ts', port, dir, env),
});

/** Each PATCH is an object of its own. */
export const s3Sink = (name: string, env: Record<string, string>): Subject => ({
  name,
  headers: {},
  bytes: '',
  command: (port, dir) => program('s3-sink-process.ts', port, dir, env),
});

const program = (file: string, port: number, dir: string, env: Record<string, string>) => ({
  args: ['--import', 'tsx', join(import.meta.dirname, file)],
  env: { SINK_DIR: dir, PORT: String(port), ...env },
});

/** Starts a subject in a new folder below `parent` and waits until it listens. */
export async function start(subject: Subject, parent: string): Promise<Running> {
  const dir = await mkdtemp(join(parent, 'subject-'));
  const port = await freePort();
  const { args, env } = subject.command(port, dir);
  const child = spawn(process.execPath, args, {
    cwd: args.includes('tsx') ? join(import.meta.dirname, '../..') : dir,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], NODE_ENV: 'production', ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill); // also when a measurement failed
  await listening(subject.name, child, port);
  return {
    ...subject,
    port,
    pid: child.pid ?? 0,
    async clean() {
      const folder = join(dir, subject.bytes);
      for (const name of await readdir(folder).catch(() => []))
        if (!name.startsWith('millrace.db')) await rm(join(folder, name), { force: true, recursive: true });
      await mkdir(folder, { recursive: true });
    },
    async stop() {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      if (await Promise.race([exited.then(() => false), sleep(5_000, true, { ref: false })])) {
        child.kill('SIGKILL');
        await exited;
      }
      process.off('exit', kill);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function listening(name: string, child: ChildProcess, port: number): Promise<void> {
  for (const deadline = Date.now() + 60_000; ;) {
    const answer = await fetch(`http://127.0.0.1:${port}/`, { method: 'OPTIONS' }).catch(() => undefined);
    if (answer) return;
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`${name} ended with ${child.exitCode}`);
    if (Date.now() > deadline) throw new Error(`${name} did not start`);
    await sleep(50);
  }
}
