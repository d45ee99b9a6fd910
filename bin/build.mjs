/** Builds server and pages into dist/, each only when its sources changed. `node bin/build.mjs` builds by hand. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { BootstrapError, ROOT, fingerprint, runOrThrow, step } from './bootstrap.mjs';

const STAMP = join(ROOT, 'dist/.stamp.json');

/** @param {string} file */
const isSource = (file) => !/\.test\.[cm]?ts$/.test(file);

/** What is built, from what, how, and a file that proves it is there. */
const TARGETS = [
  {
    name: 'server',
    sources: ['db', 'server', 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json'],
    proof: 'dist/server/main.js',
    stale: ['dist/db', 'dist/server'],
    tool: 'typescript/bin/tsc',
    args: ['-p', 'tsconfig.build.json'],
  },
  {
    name: 'pages',
    sources: ['public', 'package-lock.json'],
    proof: 'dist/public/index.html',
    stale: ['dist/public'],
    tool: 'vite/bin/vite.js',
    args: ['build', '--config', 'public/vite.config.ts', '--logLevel', 'warn'],
  },
];

/**
 * Brings dist/ up to date. Throws with the compiler's words when a build fails.
 * @param {{ checked?: boolean }} [options] `checked`: the types were found right a moment ago, and need not be looked at again
 */
export async function build({ checked = false } = {}) {
  const stamps = readStamps();
  for (const target of TARGETS) {
    const wanted = fingerprint(target.sources, isSource);
    if (stamps[target.name] === wanted && existsSync(join(ROOT, target.proof))) continue;
    await step(`Building the ${target.name}`, async () => {
      await Promise.all(target.stale.map((dir) => rm(join(ROOT, dir), { recursive: true, force: true })));
      const trusting = checked && target.name === 'server' ? ['--noCheck'] : [];
      const args = [join(ROOT, 'node_modules', target.tool), ...target.args, ...trusting];
      await runOrThrow(process.execPath, args, { NODE_ENV: 'production' });
    });
    stamps[target.name] = wanted;
    mkdirSync(join(ROOT, 'dist'), { recursive: true });
    writeFileSync(STAMP, JSON.stringify(stamps));
  }
}

/** @returns {Record<string, string>} */
function readStamps() {
  try {
    return JSON.parse(readFileSync(STAMP, 'utf8'));
  } catch {
    return {};
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    await build();
  } catch (error) {
    if (!(error instanceof BootstrapError)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}
