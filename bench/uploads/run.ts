/**
 * Uploads beside their peers, on one machine and in one run: this server (one process and several, with and without
 * UPLOAD_FSYNC), the bare packages and a bare sink. Servers take turns, and medians are compared. Linux only.
 *
 *     npm run bench:uploads [-- --quick] [-- --only disk|s3|growth]
 *
 * The tables go to docs/performance.md, between its markers; `--quick` prints them only.
 */
import { tmpdir } from 'node:os';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { s3Environment, startS3 } from '../../test/services/s3.ts';
import { machine, publish } from '../page.ts';
import { startDelayingProxy } from './delaying-proxy.ts';
import { measure, median, startClient, type Measured, type Round } from './measure.ts';
import { bareTus, millrace, sink, start, type Subject } from './subjects.ts';

const quick = process.argv.includes('--quick');
const only = process.argv.includes('--only') ? process.argv[process.argv.indexOf('--only') + 1] : undefined;
const MIB = 1024 * 1024;
const rounds = quick ? 1 : 3;
const scale = quick ? 0.25 : 1;

const dir = await mkdtemp(join(process.env['BENCH_DIR'] ?? tmpdir(), 'millrace-bench-'));
const client = startClient();
const lines: string[] = [];

const print = (line: string): void => {
  lines.push(line);
  console.log(line);
};

try {
  if (!only || only === 'disk') await disk();
  if (!only || only === 'growth') await growth();
  if (!only || only === 's3') for (const delay of [0, 30]) await s3(delay);
  if (!quick && !only) await writeDocs();
} finally {
  client.stop();
  await rm(dir, { recursive: true, force: true });
}

/** [name, load]; bytes in all are about the same. */
function loads(): [string, Round][] {
  const patches = (count: number): number => Math.max(2, Math.round(count * scale));
  const large = (mib: number): number => Math.max(4, Math.round(mib * scale)) * MIB;
  return [
    ['1 × one large PATCH', { connections: 1, patchBytes: large(512), patches: 1, rounds }],
    ['1 × 8 MiB PATCHes', { connections: 1, patchBytes: 8 * MIB, patches: patches(64), rounds }],
    ['8 × one large PATCH', { connections: 8, patchBytes: large(96), patches: 1, rounds }],
    ['8 × 8 MiB PATCHes', { connections: 8, patchBytes: 8 * MIB, patches: patches(12), rounds }],
    ['64 × 8 MiB PATCHes', { connections: 64, patchBytes: 8 * MIB, patches: 2, rounds }],
    ['512 × one PATCH', { connections: 512, patchBytes: 2 * MIB * scale, patches: 1, rounds }],
  ];
}

async function disk(): Promise<void> {
  const subjects = [
    sink('bare `node:http` sink'),
    sink('sink, fdatasync', { SINK_SYNC: 'true' }),
    bareTus('@tus/server + file-store'),
    millrace('Millrace, UPLOAD_FSYNC=false', { UPLOAD_FSYNC: 'false' }),
    millrace('Millrace', {}),
    millrace('Millrace, WEB_CONCURRENCY=auto, UPLOAD_FSYNC=false', {
      UPLOAD_FSYNC: 'false',
      WEB_CONCURRENCY: 'auto',
    }),
  ];
  print('\n### On disk\n');
  for (const [name, load] of loads()) await compare(name, subjects, load);
}

async function s3(delay: number): Promise<void> {
  const bucket = await startS3();
  const proxy = await startDelayingProxy(bucket.endpoint, delay);
  const env = s3Environment({ ...bucket, endpoint: proxy.url });
  // The peer leaves bytes unsigned over plain HTTP, too.
  const subjects = [
    bareTus('@tus/server + s3-store', env),
    millrace('Millrace', { ...env, S3_SIGN_PAYLOAD: 'false' }),
  ];
  const patches = Math.max(3, Math.round(8 * scale));
  const large = Math.round(128 * scale) * MIB;
  print(`\n### On S3, ${delay} ms added to each call\n`);
  try {
    const load = { patchBytes: 8 * MIB, patches, rounds };
    await compare(
      '1 × one large PATCH',
      subjects,
      { connections: 1, patchBytes: large, patches: 1, rounds },
      proxy.calls,
    );
    await compare('1 × 8 MiB PATCHes', subjects, { connections: 1, ...load }, proxy.calls);
    await compare('8 × 8 MiB PATCHes', subjects, { connections: 8, ...load, patches: 2 }, proxy.calls);
  } finally {
    await proxy.close();
  }
}

/** What a PATCH costs at the beginning of an upload, and after many others. */
async function growth(): Promise<void> {
  const subjects = [bareTus('@tus/server + file-store'), millrace('Millrace', {})];
  const running = await Promise.all(subjects.map((subject) => start(subject, dir)));
  const load = { connections: 1, patchBytes: 64 * 1024, patches: quick ? 200 : 2_000, rounds: 1 };
  try {
    const measured = await measure(client, running, load);
    print('\n### A PATCH of 64 KiB, by what was uploaded before\n');
    print('| server | first 10 %, ms | last 10 %, ms |');
    print('| --- | --: | --: |');
    for (const [index, { latencies }] of measured.entries()) {
      const tenth = Math.ceil(latencies.length / 10);
      const [first, last] = [latencies.slice(0, tenth), latencies.slice(-tenth)].map(median);
      print(`| ${subjects[index]?.name} | ${(first ?? 0).toFixed(2)} | ${(last ?? 0).toFixed(2)} |`);
    }
  } finally {
    for (const one of running) await one.stop();
  }
}

/** One load against all subjects; ratios are to the first one. */
async function compare(name: string, subjects: Subject[], load: Round, calls?: () => number): Promise<void> {
  const since = performance.now();
  const running = await Promise.all(subjects.map((subject) => start(subject, dir)));
  try {
    console.error(`… ${name}`);
    const measured = await measure(client, running, load, calls);
    console.error(`  ${((performance.now() - since) / 1000).toFixed(0)} s`);
    print(`\n**${name}**\n`);
    print(
      `| server | MiB/s | ratio | CPU-s/GiB | peak RSS, MiB | RSS/connection, MiB |${calls ? ' S3 calls/PATCH |' : ''}`,
    );
    print(`| --- | --: | --: | --: | --: | --: |${calls ? ' --: |' : ''}`);
    for (const [index, result] of measured.entries())
      print(row(subjects[index]?.name ?? '', result, measured[0] ?? result, calls !== undefined));
  } finally {
    for (const one of running) await one.stop();
  }
}

function row(name: string, result: Measured, first: Measured, withCalls: boolean): string {
  const cells = [
    name,
    result.speed.toFixed(0),
    (result.speed / first.speed).toFixed(2),
    result.cpu.toFixed(2),
    result.peak.toFixed(0),
    result.perConnection.toFixed(2),
    ...(withCalls ? [result.calls.toFixed(1)] : []),
  ];
  return `| ${cells.join(' | ')} |`;
}

function writeDocs(): Promise<void> {
  const head = `\`npm run bench:uploads\`, ${machine()}`;
  return publish('performance.md', 'bench:uploads', `${head}\n${lines.join('\n')}`);
}
