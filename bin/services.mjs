/** Programs that the tests run for real: PostgreSQL, an S3 server (Ceph's RADOS Gateway), Chromium. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { which } from './bootstrap.mjs';
import { aptGet } from './system.mjs';

/** Debian keeps PostgreSQL's programs outside PATH. */
const hasPostgres = () => {
  const versions = '/usr/lib/postgresql';
  const dirs = existsSync(versions) ? readdirSync(versions).map((v) => join(versions, v, 'bin')) : [];
  return Boolean(
    process.env.TEST_DATABASE_URL || dirs.some((dir) => which(join(dir, 'initdb'))) || which('initdb'),
  );
};
/** @param {...string} names */
const hasAll = (...names) => names.every((name) => which(name));
/** @param {...string} names */
const hasOne = (...names) => names.some((name) => which(name));

/**
 * @type {{ key: string, name: string, packages: string[], there: () => boolean,
 *   tests: { names?: string, files?: string } }[]}
 */
const SERVICES = [
  {
    key: 'postgres',
    name: 'PostgreSQL',
    packages: ['postgresql'],
    there: hasPostgres,
    tests: { names: 'postgres' },
  },
  {
    key: 's3',
    name: 'an S3 server',
    packages: ['radosgw', 'ceph-mon', 'ceph-osd', 'curl'],
    tests: { names: '\\bs3\\b', files: '/s3[^/]*\\.test\\.ts$' },
    there: () => hasAll('radosgw', 'radosgw-admin', 'ceph-mon', 'ceph-osd', 'ceph', 'monmaptool', 'curl'),
  },
  {
    key: 'chromium',
    name: 'Chromium',
    packages: ['chromium'],
    tests: { files: '/test/browser/' },
    there: () => hasOne(process.env.CHROMIUM_PATH || 'chromium', 'chromium-browser', 'google-chrome'),
  },
  {
    key: 'proxies',
    name: 'nginx and Caddy',
    packages: ['nginx-light', 'caddy', 'curl', 'openssl'],
    tests: { files: '/test/proxies\\.test\\.ts$' },
    there: () => hasAll('nginx', 'caddy', 'curl', 'openssl'),
  },
];

/**
 * Installs what is missing where that is possible: as root on Debian. `skip`: what tests must leave out;
 * `missing`: what of it nobody agreed to leave out.
 */
export async function ensureServices() {
  const agreed = (process.env.MILLRACE_TEST_SKIP ?? '').split(',').filter(Boolean);
  const wanted = SERVICES.filter(({ key, there }) => !agreed.includes(key) && !there());
  const mayInstall = process.getuid?.() === 0 && which('apt-get');
  /** @type {string | undefined} */
  let reason;
  if (wanted.length && mayInstall) {
    keepClusterAway();
    const packages = wanted.flatMap((service) => service.packages);
    await aptGet(wanted.map(({ name }) => name).join(', '), packages).catch(
      (error) => (reason = String(error.message)),
    );
    if (reason) console.error(reason);
  }
  const missing = wanted
    .filter(({ there }) => !there())
    .map(({ key, name, packages }) => ({
      key,
      name,
      why: `install ${packages.join(' ')}, or MILLRACE_TEST_SKIP=${key}`,
    }));
  return { skip: [...agreed, ...missing.map(({ key }) => key)], missing };
}

/**
 * What makes jest leave out the tests that need the services of these keys: by their names, and by their files.
 * @param {string[]} skip
 */
export function leaveOut(skip) {
  const left = SERVICES.filter(({ key }) => skip.includes(key)).map(({ tests }) => tests);
  const names = left.flatMap((tests) => (tests.names ? [`(?!.*${tests.names})`] : []));
  const files = left.flatMap((tests) => (tests.files ? ['--testPathIgnorePatterns', tests.files] : []));
  return [...files, ...(names.length ? ['--testNamePattern', `^${names.join('')}`] : [])];
}

/** Debian's package starts a database of its own; the tests make theirs. A setting that is there stays. */
function keepClusterAway() {
  const file = '/etc/postgresql-common/createcluster.conf';
  if (existsSync(file)) return;
  mkdirSync('/etc/postgresql-common', { recursive: true });
  writeFileSync(file, 'create_main_cluster = false\n');
}
