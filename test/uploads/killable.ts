/** Starts the engine as a child process, kills it, and starts it again on the same port and data. */
import { build } from 'esbuild';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ProcessSettings } from './engine-process.ts';
import type { Ground } from './harness.ts';
import { exitOf } from '../program.ts';
import { freePort } from '../ports.ts';

export interface KillableEngine {
  url: string;
  port: number;
  /** kill -9. */
  kill(): Promise<void>;
  /** kill -9, and start again. */
  crash(): Promise<void>;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
  start(): Promise<void>;
  close(): Promise<void>;
}

export async function startKillable(
  ground: Ground,
  env: Record<string, string> = {},
): Promise<KillableEngine> {
  const program = await compile();
  const port = await freePort();
  const { url, file } = ground.database;
  const settings: ProcessSettings = { database: { url, file }, env: { ...ground.env, ...env }, port };
  let child: ChildProcess | undefined;

  async function start(): Promise<void> {
    const own = spawn(process.execPath, [program], {
      env: { PATH: process.env['PATH'], TEST_LOG: process.env['TEST_LOG'], ENGINE: JSON.stringify(settings) },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    child = own;
    await Promise.race([
      once(own.stdout, 'data'),
      once(own, 'exit').then(() => Promise.reject(new Error('the engine did not start'))),
    ]);
  }

  const end = async (signal: NodeJS.Signals): Promise<number | null> =>
    child ? exitOf(child, signal) : null;

  await start();
  return {
    url: `http://127.0.0.1:${port}/files`,
    port,
    start,
    stop: () => end('SIGTERM'),
    kill: async () => void (await end('SIGKILL')),
    async crash() {
      await end('SIGKILL');
      await start();
    },
    async close() {
      await end('SIGKILL');
      await rm(program, { force: true });
    },
  };
}

/** One file that Node can run, beside the packages it imports. */
async function compile(): Promise<string> {
  const root = join(import.meta.dirname, '../..');
  const outfile = join(root, 'node_modules/.cache', `engine-${process.pid}.mjs`);
  await build({
    entryPoints: [join(import.meta.dirname, 'engine-process.ts')],
    outfile,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    define: { 'import.meta.dirname': JSON.stringify(join(root, 'test/services')) },
  });
  return outfile;
}
