/** Lint, format and types. `node bin/checks.mjs` (npm run lint) runs them alone. */
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT, run } from './bootstrap.mjs';

const CHECKS = [
  { name: 'eslint', tool: 'eslint/bin/eslint.js', args: ['.', '--max-warnings=0'] },
  { name: 'types', tool: 'typescript/bin/tsc', args: ['--noEmit'] },
  {
    name: 'types of the pages',
    tool: 'typescript/bin/tsc',
    args: ['--noEmit', '-p', 'public'],
    needs: 'public/tsconfig.json',
  },
  { name: 'prettier', tool: 'prettier/bin/prettier.cjs', args: ['--check', '--log-level=warn', '.'] },
  {
    name: 'imports',
    tool: 'dependency-cruiser/bin/dependency-cruise.mjs',
    args: ['--config', '.dependency-cruiser.cjs', 'db', 'server'],
  },
];

/** Runs all checks, several at a time; prints what fails. Resolves with the names of those that failed. */
export async function runChecks() {
  const todo = CHECKS.filter(({ needs }) => !needs || existsSync(join(ROOT, needs)));
  /** @type {string[]} */
  const failed = [];
  const work = async () => {
    for (let check = todo.shift(); check; check = todo.shift()) {
      const since = Date.now();
      const { code, output } = await run(process.execPath, [
        join(ROOT, 'node_modules', check.tool),
        ...check.args,
      ]);
      const took = `${((Date.now() - since) / 1000).toFixed(1)} s`;
      console.log(
        code === 0 ? `ok ${check.name} (${took})` : `FAILED ${check.name} (${took})\n${output.trimEnd()}\n`,
      );
      if (code !== 0) failed.push(check.name);
    }
  };
  console.log('Checking lint, types, format and imports …');
  await Promise.all(Array.from({ length: Math.max(1, Math.min(3, availableParallelism())) }, work));
  return failed;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  process.exitCode = (await runChecks()).length ? 1 : 0;
}
