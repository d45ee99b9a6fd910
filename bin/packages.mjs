/** Installs the npm packages when they are missing, or not those of the lock file. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BootstrapError, ROOT, run, step, which } from './bootstrap.mjs';
import { aptGet, canApt } from './system.mjs';

/** npm writes this one last, so an installation that was cut off has none. */
const INSTALLED = join(ROOT, 'node_modules/.package-lock.json');
/** See db/sqlite-driver.ts. */
const NEEDS_COMPILED_SQLITE = Number(process.versions.napi) < 10;
const SQLITE_OF_NODE_20 = join(ROOT, 'node_modules/better-sqlite3-12');
/** Which version of Node's binary interface the packages were compiled for. */
const STAMP = join(ROOT, 'node_modules/.millrace-abi');

/** Runs `npm ci` unless node_modules is what package-lock.json asks for. Build tools are wanted, so dev packages too. */
export async function installPackages() {
  if (!isInstalled()) await step('Installing packages (npm ci)', npmCi);
  if (read(STAMP) !== process.versions.modules) writeFileSync(STAMP, process.versions.modules);
}

function isInstalled() {
  const { '': _project, ...wanted } = packagesOf(join(ROOT, 'package-lock.json'));
  const there = packagesOf(INSTALLED);
  const sameAbi = [undefined, process.versions.modules].includes(read(STAMP));
  // Optional packages are those of other platforms.
  return (
    sameAbi &&
    Object.entries(wanted).every(
      ([path, { version, optional }]) => (optional && !there[path]) || there[path]?.version === version,
    )
  );
}

/**
 * @param {string} file
 * @returns {Record<string, { version?: string, optional?: boolean }>}
 */
function packagesOf(file) {
  return JSON.parse(read(file) ?? '{"packages":{}}').packages;
}

/** @param {string} file */
function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

async function npmCi() {
  // All binaries come with the packages, but for the SQLite of Node 20.
  const scripts = NEEDS_COMPILED_SQLITE ? [] : ['--ignore-scripts'];
  const args = ['ci', '--include=dev', ...scripts, '--no-audit', '--no-fund', '--loglevel=error'];
  let { code, output } = await run('npm', args);
  // It is compiled where no prebuilt binary can be had, which needs these. npm leaves it out when that fails.
  const failed = () => code !== 0 || (NEEDS_COMPILED_SQLITE && !existsSync(SQLITE_OF_NODE_20));
  const missing = ['python3', 'make', 'g++'].filter((program) => !which(program));
  if (failed() && missing.length && canApt()) {
    await aptGet(`a compiler, which a package needs (${missing.join(', ')})`, missing);
    ({ code, output } = await run('npm', args));
  }
  if (!failed()) return;
  const hint = missing.length
    ? `\n\nIf a package failed to compile: install ${missing.join(', ')} and try again.`
    : '';
  throw new BootstrapError(`${output.trimEnd()}\n\nnpm ci failed (exit code ${code}).${hint}`);
}
