/**
 * Uploads beside their peers, on one machine and in one run: this server (one process and several, with and without
 * UPLOAD_FSYNC), the bare packages and a bare sink. Servers take turns, and are compared round by round. Linux only.
 *
 *     npm run bench:uploads [-- --quick] [-- --only disk|durability|s3|growth]
 *
 * BENCH_DIR: the folder of the servers' files, that of temporary files unless it is said. BENCH_DISK: one on a disk of which it is to be
 * measured what durable acknowledgements cost.
 * The tables go to docs/performance.md, between its markers; `--quick` prints them only.
 */
import { tmpdir } from 'node:os';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { s3Environment, startS3 } from '../../test/services/s3.ts';
import { machine, publish } from '../page.ts';
import type { CountedBucket } from './counted-bucket.ts';
import { diskLimit } from './disk-limit.ts';
import { startDelayingProxy } from './delaying-proxy.ts';
import { startMemoryS3 } from './memory-s3.ts';
import { measure, median, startClient, type Measured, type Round } from './measure.ts';
import { bareTus, millrace, s3Sink, sink, type Subject } from './subjects.ts';

const quick = process.argv.includes('--quick');
const only = process.argv.includes('--only') ? process.argv[process.argv.indexOf('--only') + 1] : undefined;
const MIB = 1024 * 1024;
const rounds = quick ? 1 : 5;
/** Of what takes long. */
const few = quick ? 1 : 3;
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
  const slowDisk = process.env['BENCH_DISK'];
  if (slowDisk && (!only || only === 'durability')) await durability(slowDisk);
  if (!only || only === 'growth') await growth();
  if (!only || only === 's3') {
    const ceph = await startS3();
    for (const delay of [0, 30])
      await s3(`Ceph on the same cores, ${delay} ms`, few, () => startDelayingProxy(ceph, delay));
    for (const delay of [0, 30])
      await s3(`as if it ran elsewhere (\`memory-s3.ts\`), ${delay} ms`, rounds, () => startMemoryS3(delay));
  }
  if (!quick && !only) await writeDocs();
} finally {
  client.stop();
  await rm(dir, { recursive: true, force: true });
}

/**
 * [name, load]. From 64 connections on 4 GiB in all, where the others send one half to one: so many begin at the same moment,
 * and with a PATCH or two of each one would measure how a process begins, not what it takes while they last.
 */
function loads(): [string, Round][] {
  const patches = (count: number): number => Math.max(2, Math.round(count * scale));
  const large = (mib: number): number => Math.max(4, Math.round(mib * scale)) * MIB;
  return [
    ['1 × one large PATCH', { connections: 1, patchBytes: large(512), patches: 1, rounds }],
    ['1 × 8 MiB PATCHes', { connections: 1, patchBytes: 8 * MIB, patches: patches(64), rounds }],
    ['8 × one large PATCH', { connections: 8, patchBytes: large(96), patches: 1, rounds }],
    ['8 × 8 MiB PATCHes', { connections: 8, patchBytes: 8 * MIB, patches: patches(12), rounds }],
    ['64 × 8 MiB PATCHes', { connections: 64, patchBytes: 8 * MIB, patches: patches(8), rounds: few }],
    ['512 × 8 MiB PATCHes', { connections: 512, patchBytes: 8 * MIB * scale, patches: 1, rounds: few }],
    [
      '512 × 2 MiB PATCHes',
      { connections: 512, patchBytes: 2 * MIB * scale, patches: patches(4), rounds: few },
    ],
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

/** What an acknowledgement costs that waits for a disk: on that of BENCH_DISK. */
async function durability(disk: string): Promise<void> {
  const subjects = [
    sink('bare `node:http` sink'),
    sink('sink, fdatasync', { SINK_SYNC: 'true' }),
    millrace('Millrace, UPLOAD_FSYNC=false', { UPLOAD_FSYNC: 'false' }),
    millrace('Millrace', {}),
  ];
  const load = { patchBytes: 8 * MIB, rounds };
  const folder = await mkdtemp(join(disk, 'millrace-bench-'));
  print('\n### On a disk that takes time\n');
  try {
    for (const [name, round] of [
      ['1 × one large PATCH', { ...load, connections: 1, patchBytes: 256 * MIB * scale, patches: 1 }],
      ['1 × 8 MiB PATCHes', { ...load, connections: 1, patches: 32 * scale }],
      ['8 × 8 MiB PATCHes', { ...load, connections: 8, patches: 8 * scale }],
    ] as [string, Round][])
      await compare(name, subjects, round, { folder });
    const limit = await diskLimit(folder, { pieceBytes: 8 * MIB, pieces: 32 * scale, rounds });
    const left = (limit.flushed / limit.written).toFixed(2);
    print(
      `\nThe limit of this disk, for one program without a network: ${limit.written.toFixed(0)} MiB/s written, ${limit.flushed.toFixed(0)} MiB/s (${left}) with \`fdatasync\` after each 8 MiB.`,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Each load opens the bucket anew: what a server keeps in memory goes with it. */
async function s3(name: string, times: number, open: () => Promise<CountedBucket>): Promise<void> {
  const patches = Math.max(3, Math.round(16 * scale));
  const large = Math.round(128 * scale) * MIB;
  const small = { patchBytes: 8 * MIB, patches, rounds: times };
  const loads: [string, Round][] = [
    ['1 × one large PATCH', { connections: 1, patchBytes: large, patches: 1, rounds: times }],
    ['1 × 8 MiB PATCHes', { connections: 1, ...small }],
    ['8 × 8 MiB PATCHes', { connections: 8, ...small, patches: 2 }],
  ];
  print(`\n### On S3: ${name} added to each call\n`);
  for (const [load, round] of loads) {
    const bucket = await open();
    const env = s3Environment(bucket.access);
    // The peer leaves bytes unsigned over plain HTTP, too.
    const subjects = [
      bareTus('@tus/server + s3-store', env),
      millrace('Millrace', { ...env, S3_SIGN_PAYLOAD: 'false' }),
      s3Sink('PATCHes piped into S3, no promise', env),
    ];
    await compare(load, subjects, round, { bucket }).finally(() => bucket.close());
  }
}

/** What a PATCH costs at the beginning of an upload, and after many others. */
async function growth(): Promise<void> {
  const subjects = [bareTus('@tus/server + file-store'), millrace('Millrace', {})];
  const load = { connections: 1, patchBytes: 64 * 1024, patches: quick ? 200 : 2_000, rounds: 1 };
  const measured = await measure(client, subjects, dir, load);
  print('\n### A PATCH of 64 KiB, by what was uploaded before\n');
  print('| server | first 10 %, ms | last 10 %, ms |');
  print('| --- | --: | --: |');
  for (const [index, { latencies }] of measured.entries()) {
    const tenth = Math.ceil(latencies.length / 10);
    const [first, last] = [latencies.slice(0, tenth), latencies.slice(-tenth)].map(median);
    print(`| ${subjects[index]?.name} | ${(first ?? 0).toFixed(2)} | ${(last ?? 0).toFixed(2)} |`);
  }
}

/** One load against all subjects; ratios are to the first one. */
async function compare(
  name: string,
  subjects: Subject[],
  load: Round,
  { folder = dir, bucket }: { folder?: string; bucket?: CountedBucket } = {},
): Promise<void> {
  const since = performance.now();
  console.error(`… ${name}`);
  const measured = await measure(client, subjects, folder, load, bucket);
  console.error(`  ${((performance.now() - since) / 1000).toFixed(0)} s`);
  print(`\n**${name}**\n`);
  print(
    `| server | MiB/s | ratio | quartiles | CPU-s/GiB | peak RSS, MiB | RSS/connection, MiB |${bucket ? ' S3 calls/PATCH |' : ''}`,
  );
  print(`| --- | --: | --: | --: | --: | --: | --: |${bucket ? ' --: |' : ''}`);
  for (const [index, result] of measured.entries())
    print(row(subjects[index]?.name ?? '', result, bucket !== undefined));
}

function row(name: string, result: Measured, withCalls: boolean): string {
  const cells = [
    name,
    result.speed.toFixed(0),
    result.ratio.median.toFixed(2),
    `${result.ratio.low.toFixed(2)}–${result.ratio.high.toFixed(2)}`,
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
