/** `npm run dev`: compiles on every change and restarts the server. The pages: `npx vite --config public/vite.config.ts`. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { BootstrapError, ROOT } from './bootstrap.mjs';
import { build } from './build.mjs';
import { installPackages } from './packages.mjs';
import { ensureFfmpeg } from './programs.mjs';

try {
  await installPackages();
  await build();
  await ensureFfmpeg();
} catch (error) {
  if (!(error instanceof BootstrapError)) throw error;
  console.error(error.message);
  process.exit(1);
}

const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
const commands = [
  [tsc, '-p', 'tsconfig.build.json', '--watch', '--preserveWatchOutput'],
  ['--watch', '--enable-source-maps', 'dist/server/main.js'],
];
const children = commands.map((args) => spawn(process.execPath, args, { cwd: ROOT, stdio: 'inherit' }));
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM']))
  process.on(signal, () => children.forEach((child) => child.kill(signal)));
for (const child of children) child.on('exit', () => children.forEach((other) => other.kill()));
