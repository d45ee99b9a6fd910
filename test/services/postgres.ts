/** A throw-away PostgreSQL for a test run, or the one that TEST_DATABASE_URL names. */
import { execa } from 'execa';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { freePort } from '../ports.ts';
import { oncePerRun } from './run.ts';

const VERSIONS = '/usr/lib/postgresql';

/** URL of a database whose user may create databases. Starts a cluster when this run has none yet. */
export async function postgresUrl(): Promise<string> {
  return process.env['TEST_DATABASE_URL'] ?? (await oncePerRun('postgres', startCluster));
}

async function startCluster(dir: string): Promise<string> {
  const bin = (await findBinaries()) ?? (await installBinaries());
  const data = join(dir, 'data');
  const port = await freePort();
  const user = await unprivileged();
  if (user) await chown(dir, user.uid, user.gid);
  await chmod(dirname(dir), 0o711);
  const run = (file: string, args: string[]) =>
    execa(join(bin, file), args, { ...user, cwd: dir, env: { HOME: dir } });

  await run('initdb', ['-D', data, '-U', 'millrace', '-A', 'trust', '-E', 'UTF8', '--no-locale', '-N']);
  // Nothing in it has to survive a crash of the machine.
  const settings = {
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: dir,
    max_connections: 200,
  };
  const fast = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' };
  const options = Object.entries({ ...settings, ...fast }).map(([name, value]) => `-c ${name}=${value}`);
  await execa(
    join(bin, 'pg_ctl'),
    ['-D', data, '-l', join(dir, 'server.log'), '-w', '-t', '60', '-o', options.join(' '), 'start'],
    { ...user, cwd: dir, env: { HOME: dir }, stdio: 'ignore' },
  );
  const [pid] = (await readFile(join(data, 'postmaster.pid'), 'utf8')).split('\n');
  await writeFile(`${dir}.pid`, pid!);
  return `postgresql://millrace@127.0.0.1:${port}/postgres`;
}

/** The newest installed version's programs: Debian keeps them outside PATH. */
async function findBinaries(): Promise<string | undefined> {
  const versions = await readdir(VERSIONS).catch(() => []);
  const dirs = versions
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => join(VERSIONS, version, 'bin'));
  return [...dirs, ...(process.env['PATH'] ?? '').split(':')].find((dir) => existsSync(join(dir, 'initdb')));
}

async function installBinaries(): Promise<string> {
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get'))
    throw new Error(
      'PostgreSQL is missing. Install it (Debian: apt install postgresql) or set TEST_DATABASE_URL.',
    );
  await mkdir('/etc/postgresql-common', { recursive: true });
  if (!existsSync('/etc/postgresql-common/createcluster.conf'))
    await writeFile('/etc/postgresql-common/createcluster.conf', 'create_main_cluster = false\n');
  const apt = (...args: string[]) =>
    execa('apt-get', ['-qq', '-o', 'DPkg::Lock::Timeout=300', ...args], {
      env: { DEBIAN_FRONTEND: 'noninteractive' },
      stdio: 'ignore',
    });
  await apt('update');
  await apt('install', '-y', '--no-install-recommends', 'postgresql');
  const bin = await findBinaries();
  if (!bin) throw new Error(`the package postgresql brought no ${VERSIONS}/*/bin/initdb`);
  return bin;
}

/** PostgreSQL refuses to run as root. */
async function unprivileged(): Promise<{ uid: number; gid: number } | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const id = async (flag: string) => Number((await execa('id', [flag, 'nobody'])).stdout);
  return { uid: await id('-u'), gid: await id('-g') };
}
