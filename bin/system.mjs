/** The system's package manager, where there is one that may be used without asking a person. */
import { spawnSync } from 'node:child_process';
import { BootstrapError, run, step, which } from './bootstrap.mjs';

/**
 * Prefix that makes a command run as root: nothing for root, `sudo -n` where that asks for no password.
 * Undefined when neither is so.
 * @returns {string[] | undefined}
 */
export function asRoot() {
  if (process.getuid?.() === 0) return [];
  if (!which('sudo')) return undefined;
  return spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0 ? ['sudo', '-n'] : undefined;
}

/** True on Debian and its kin when packages may be installed. */
export const canApt = () => Boolean(which('apt-get') && asRoot());

/**
 * Installs Debian packages; throws with apt's output when it can't.
 * @param {string} what for the person who watches
 * @param {string[]} packages
 */
export async function aptGet(what, packages) {
  await step(`Installing ${what} (apt-get install ${packages.join(' ')})`, async () => {
    await command(['apt-get', 'update', '-qq']);
    await command([
      'apt-get',
      ...['-qq', '-o', 'DPkg::Lock::Timeout=300', 'install', '-y', '--no-install-recommends'],
      ...packages,
    ]);
  });
}

/**
 * Runs a command as root without a terminal; throws with its output.
 * @param {string[]} words
 */
export async function command(words) {
  const [program = '', ...args] = [...(asRoot() ?? []), 'env', 'DEBIAN_FRONTEND=noninteractive', ...words];
  const { code, output } = await run(program, args);
  if (code !== 0) throw new BootstrapError(`${output.trimEnd()}\n\n${words.join(' ')}: exit code ${code}`);
}
