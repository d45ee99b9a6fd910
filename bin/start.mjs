/**
 * `npm start`: installs what is missing, builds what changed, then becomes the server. Plain Node, no package needed.
 *
 * The server runs in this very process, so a signal meant for it has nowhere else to go and nothing can be orphaned.
 */
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(
    `Millrace needs Node 20.19 or newer; this is ${process.version}. Get it from https://nodejs.org`,
  );
  process.exit(1);
}

// Only now: older versions of Node could not even read these modules.
const { ROOT, BootstrapError, loadEnvironment } = await import('./bootstrap.mjs');
const { installPackages } = await import('./packages.mjs');
const { build } = await import('./build.mjs');
const { ensureFfmpeg } = await import('./programs.mjs');

try {
  process.chdir(ROOT);
  loadEnvironment();
  await installPackages();
  await build();
  await ensureFfmpeg();
} catch (error) {
  if (!(error instanceof BootstrapError)) throw error;
  console.error(error.message);
  process.exit(1);
}

process.setSourceMapsEnabled(true);
await import(new URL('../dist/server/main.js', import.meta.url).href);
