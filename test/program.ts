/** Runs a TypeScript file of the tests as a process of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** `name` is a file of test/programs. The process's stdout is a pipe, its stderr ours. */
export function startProgram(name: string, ...args: string[]): ChildProcess {
  const file = join(import.meta.dirname, 'programs', name);
  return spawn(process.execPath, ['--import', 'tsx', file, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** Sends the signal, if any, and resolves with the exit code: null when a signal ended it. */
export async function exitOf(child: ChildProcess, signal?: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const exited = once(child, 'exit');
  if (signal) child.kill(signal);
  await exited;
  return child.exitCode;
}
