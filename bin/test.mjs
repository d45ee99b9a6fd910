/**
 * `npm test`: brings what the tests need, then lint, types and every test. Arguments go to jest, and then it is
 * only tests: `npm test -- server/jobs`.
 *
 * Where PostgreSQL, an S3 server or Chromium can't be had, their tests are not run, which is said and counts as a
 * failure, unless MILLRACE_TEST_SKIP names them: `MILLRACE_TEST_SKIP=s3,chromium npm test`.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn } from 'node:child_process';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(
    `Millrace needs Node 20.19 or newer; this is ${process.version}. Get it from https://nodejs.org`,
  );
  process.exit(1);
}

const { ROOT, BootstrapError } = await import('./bootstrap.mjs');
const { installPackages } = await import('./packages.mjs');
const { build } = await import('./build.mjs');
const { ensureFfmpeg } = await import('./programs.mjs');
const { ensureServices, leaveOut } = await import('./services.mjs');
const { runChecks } = await import('./checks.mjs');
const { merged, worthTrying } = await import('./second-try.mjs');

/** @param {string[]} jestArgs */
async function main(jestArgs) {
  process.chdir(ROOT);
  await installPackages();
  await ensureFfmpeg();
  const services = await ensureServices();
  const failedChecks = jestArgs.length ? [] : await runChecks();
  await build({ checked: !jestArgs.length && !failedChecks.includes('types') });
  const leftOut = leaveOut(services.skip);
  const first = await jest([...jestArgs, ...leftOut]);
  const result = jestArgs.length ? first : await tryAgain(first, leftOut);
  for (const { name, why } of services.missing) console.log(`NOT RUN: tests that need ${name}: ${why}`);
  if (failedChecks.length) console.log(`Failed checks: ${failedChecks.join(', ')}`);
  console.log(closingLine(result));
  return result.code === 0 && !failedChecks.length && !services.missing.length ? 0 : 1;
}

/**
 * Runs the few files again that failed among all others (see second-try.mjs).
 *
 * @param {Result} first
 * @param {string[]} leftOut
 * @returns {Promise<Result>}
 */
async function tryAgain(first, leftOut) {
  const paths = worthTrying(first);
  if (!paths.length) return first;
  console.log(`\nOnce more, by themselves:\n${paths.map((path) => `  ${path}\n`).join('')}`);
  const second = await jest(['--runInBand', ...leftOut, '--runTestsByPath', ...paths]);
  const { result, unsteady } = merged(first, second);
  for (const path of unsteady) console.log(`UNSTEADY: ${path} failed among the others and passed by itself`);
  return result;
}

/**
 * @typedef {import('./second-try.mjs').Result} Result
 * @param {string[]} args
 * @returns {Promise<Result>}
 */
async function jest(args) {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-jest-'));
  const counts = join(folder, 'counts.json');
  const flags = '--experimental-vm-modules --disable-warning=ExperimentalWarning';
  // Last, since options that take lists would take the paths that follow.
  const reporters = ['--reporters=default', `--reporters=${join(ROOT, 'bin/jest-counts.mjs')}`];
  const child = spawn(
    process.execPath,
    [join(ROOT, 'node_modules/jest/bin/jest.js'), ...args, ...reporters],
    {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: {
        ...process.env,
        NODE_OPTIONS: [process.env.NODE_OPTIONS, flags].filter(Boolean).join(' '),
        JEST_COUNTS: counts,
      },
    },
  );
  const code = await new Promise((resolve) => child.on('close', (exit) => resolve(exit ?? 1)));
  const result = { code, ...readCounts(counts) };
  rmSync(folder, { recursive: true, force: true });
  return result;
}

/** @param {string} file @returns {Omit<Result, 'code'>} */
function readCounts(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return { passed: 0, failed: 1, skipped: 0, failedFiles: [] }; // jest did not get as far as counting
  }
}

/** @param {Result} result */
function closingLine({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof BootstrapError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
