/** What the scripts in bin/ share: where the project is, how a command is run, and fingerprints of files. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { delimiter, join, relative } from 'node:path';
import { setInterval, clearInterval } from 'node:timers';
import { fileURLToPath } from 'node:url';

/** The checkout. */
export const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Something a person has to mend; the message says what to type. Printed without a stack. */
export class BootstrapError extends Error {}

/** Reads `.env`, if there is one. What is set already stays as it is. */
export function loadEnvironment() {
  if (existsSync('.env')) process.loadEnvFile('.env');
}

/** How often somebody who waits is told that all is well. */
const SIGN_OF_LIFE_MS = 20_000;

/**
 * Says what it does, does it, and says how long that took; now and then meanwhile, too.
 * @template T
 * @param {string} what
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function step(what, work) {
  const since = Date.now();
  const seconds = () => (Date.now() - since) / 1000;
  console.log(`${what} …`);
  const alive = setInterval(() => console.log(`  ${seconds().toFixed(0)} s so far …`), SIGN_OF_LIFE_MS);
  const result = await work().finally(() => clearInterval(alive));
  console.log(`  done in ${seconds().toFixed(1)} s`);
  return result;
}

/**
 * Runs a program to its end and keeps its output to itself; hands out exit code and output. A signal ends both.
 * @param {string} program
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Promise<{ code: number, output: string }>}
 */
export function run(program, args, env = {}) {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: ROOT,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      shell: process.platform === 'win32',
    });
    const signals = /** @type {const} */ (['SIGINT', 'SIGTERM']);
    /** @param {NodeJS.Signals} signal */
    const stop = (signal) => {
      child.kill(signal);
      process.exit(1);
    };
    for (const signal of signals) process.on(signal, stop);
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    child.on('error', (error) => resolve({ code: 127, output: error.message }));
    child.on('close', (code) => {
      for (const signal of signals) process.off(signal, stop);
      resolve({ code: code ?? 1, output });
    });
  });
}

/**
 * Like `run`, but a failure is thrown, with the whole output.
 * @param {string} program
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 */
export async function runOrThrow(program, args, env) {
  const { code, output } = await run(program, args, env);
  if (code !== 0)
    throw new BootstrapError(`${output.trimEnd()}\n\n${program} ${args.join(' ')}: exit code ${code}`);
  return output;
}

/**
 * The full path of a program, or undefined when it can't be found. A path is taken as it is.
 * @param {string} name
 * @param {string} [path] directories to look in, as in PATH
 */
export function which(name, path = process.env.PATH ?? '') {
  const candidates = /[\\/]/.test(name) ? [name] : path.split(delimiter).map((dir) => join(dir, name));
  const suffixes = process.platform === 'win32' ? ['.exe', '.cmd', ''] : [''];
  return candidates.flatMap((c) => suffixes.map((s) => c + s)).find(isExecutable);
}

/** @param {string} file */
function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/**
 * A hash over names and contents of files; folders count with everything below them. Missing ones count as missing.
 * @param {string[]} paths relative to the checkout
 * @param {(file: string) => boolean} [counts] which files below folders count
 */
export function fingerprint(paths, counts = () => true) {
  const hash = createHash('sha256').update(process.versions.modules);
  for (const file of paths.flatMap((path) => filesBelow(join(ROOT, path)))) {
    const name = relative(ROOT, file);
    if (counts(name)) hash.update(`\0${name}\0`).update(readFileSync(file));
  }
  return hash.digest('hex');
}

/** @param {string} path @returns {string[]} */
function filesBelow(path) {
  if (!existsSync(path)) return [];
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path)
    .sort()
    .flatMap((name) => filesBelow(join(path, name)));
}
