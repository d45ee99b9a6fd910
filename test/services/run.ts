/**
 * What the processes of one test run share: a folder, and services that are started when the first test
 * asks for them and end with the run, even when it is killed.
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, writeFile } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Makes this process the owner of a run: its folder is deleted, and its services ended, when the process ends. */
export async function startRun(): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-run-'));
  process.env['TEST_RUN_DIR'] = dir;
  const watcher = spawn('sh', ['-c', WATCH, String(process.pid), dir], { detached: true, stdio: 'ignore' });
  watcher.unref();
}

/** Waits for the owner's end, ends what wrote a `*.pid` file into the run's folder, and deletes the folder. */
const WATCH = `
  trap '' INT TERM HUP
  while kill -0 "$0" 2>/dev/null; do sleep 0.3; done
  for file in "$1"/*.pid; do [ -f "$file" ] && kill -QUIT "$(cat "$file")" 2>/dev/null; done
  sleep 0.3
  rm -rf "$1"`;

/** The folder of this run; started here when no jest did it. Anybody may enter it, as services don't run as root. */
export async function runDir(): Promise<string> {
  if (!process.env['TEST_RUN_DIR']) await startRun();
  return process.env['TEST_RUN_DIR']!;
}

/**
 * The outcome of `start`, run once per test run: the first process that asks runs it with an own folder,
 * all others wait for its answer.
 */
export async function oncePerRun(name: string, start: (dir: string) => Promise<string>): Promise<string> {
  const dir = join(await runDir(), name);
  const answer = `${dir}.json`;
  const first = await mkdir(dir).then(
    () => true,
    () => false,
  );
  if (first) {
    const outcome = await start(dir).then(
      (value) => ({ value }),
      (error: unknown) => ({ error: String(error) }),
    );
    await writeFile(`${answer}.new`, JSON.stringify(outcome));
    await rename(`${answer}.new`, answer);
  }
  for (const deadline = Date.now() + 300_000; !existsSync(answer); await sleep(50))
    if (Date.now() > deadline) throw new Error(`${name} did not start within five minutes`);
  const outcome = JSON.parse(await readFile(answer, 'utf8')) as { value: string; error?: string };
  if (outcome.error) throw new Error(`${name} did not start: ${outcome.error}`);
  return outcome.value;
}
