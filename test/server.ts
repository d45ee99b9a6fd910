/** A real Millrace as a child process, for tests that look at it from outside. Needs `npm run build` first. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './ports.ts';
import { exitOf } from './program.ts';

export const ADMIN_KEY = 'test-admin-key-0123456789';
const MAIN = join(import.meta.dirname, '../dist/server/main.js');

export interface TestServer {
  url: string;
  adminKey: string;
  dataDir: string;
  /** Of the running process. */
  pid(): number;
  /** Everything it printed so far. */
  output(): string;
  /** `fetch` with the admin key, path relative to the server. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
  /** kill -9 of the server process alone. */
  kill(): Promise<void>;
  /** Starts it again on the same port, data and settings, after stop() or kill(). */
  restart(): Promise<void>;
  /** Stops it if it runs and deletes its data. */
  dispose(): Promise<void>;
}

/** Starts a server with a data folder of its own. `env` overrides settings; the defaults are those of a new user. */
export async function startServer(env: Record<string, string> = {}): Promise<TestServer> {
  if (!existsSync(MAIN)) throw new Error(`${MAIN} is missing: run npm run build`);
  const dataDir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  const port = Number(env.PORT ?? (await freePort()));
  const url = `http://127.0.0.1:${port}`;
  let child: ChildProcess | undefined;
  let printed = '';

  async function start(): Promise<void> {
    const own = spawn(process.execPath, [MAIN], {
      cwd: dataDir, // no .env of the checkout
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        HOST: '127.0.0.1',
        DATA_DIR: dataDir,
        ADMIN_KEY,
        LOG_FORMAT: 'json',
        ...env,
        PORT: String(port),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child = own;
    const collect = (chunk: Buffer): void => void (printed += chunk.toString());
    own.stdout.on('data', collect);
    own.stderr.on('data', collect);
    for (const deadline = Date.now() + 150_000; ;) {
      if (own.exitCode !== null) throw new Error(`the server ended with ${own.exitCode}:\n${printed}`);
      const answer = await fetch(`${url}/livez`).catch(() => undefined);
      if (answer?.ok) return;
      if (Date.now() > deadline) throw new Error(`the server did not start:\n${printed}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  const end = async (signal: NodeJS.Signals): Promise<number | null> =>
    child ? exitOf(child, signal) : null;

  await start();
  return {
    url,
    adminKey: env.ADMIN_KEY ?? ADMIN_KEY,
    dataDir,
    pid: () => child?.pid ?? 0,
    output: () => printed,
    fetch: (path, init = {}) => {
      const headers = new Headers(init.headers);
      if (!headers.has('authorization')) headers.set('authorization', `Bearer ${env.ADMIN_KEY ?? ADMIN_KEY}`);
      return fetch(new URL(path, url), { ...init, headers });
    },
    stop: () => end('SIGTERM'),
    kill: async () => void (await end('SIGKILL')),
    restart: start,
    async dispose() {
      await end('SIGKILL');
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** Asks until `look` returns something; fails with what it saw last. For states that a server reaches in its own time. */
export async function eventually<T>(
  look: () => Promise<T | undefined | false>,
  timeoutMs = 120_000,
): Promise<T> {
  for (const deadline = Date.now() + timeoutMs; ;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > deadline) throw new Error('it did not happen in time');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
