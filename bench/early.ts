/**
 * How soon after its last byte an upload can be watched, with and without the work that is done while it arrives.
 *
 *     npm run bench:early [-- --quick] [-- --disk | --s3]      (needs FFmpeg and, unless --disk, an S3 server)
 *
 * Uploads come at a steady pace, at which the machine keeps up: what is measured begins with the last byte's acknowledgement.
 * The table goes to docs/performance.md, between its markers, when both places were measured.
 */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { startServer, type TestServer } from '../test/server.ts';
import { s3Environment, startS3 } from '../test/services/s3.ts';
import { create } from '../test/tus.ts';
import { machine, publish } from './page.ts';
import { hevc, phone, remuxed, repeated } from './pipeline/sources.ts';

const quick = process.argv.includes('--quick');
const SECONDS = quick ? 8 : 15;
const TIMES = quick ? 3 : 12;
/** Of those with work along the upload; the worst counts. */
const ROUNDS = quick ? 1 : 2;
/** Seconds in which a film is uploaded, where its place keeps up: 20 MB/s, and 10 to an S3 server on the same cores. */
const FILM_SECONDS = quick ? { disk: 5, S3: 15 } : { disk: 15, S3: 30 };
/** Where nothing is done along the upload it may be as fast as it likes. */
const LATE_SECONDS = 5;
const LOOK_EVERY_MS = 10;

/** Uploads a file in `seconds`; resolves with the address of its media when the last byte is acknowledged. */
async function upload(server: TestServer, path: string, seconds: number): Promise<string> {
  const { size } = await stat(path);
  const created = await create(server, { 'upload-length': String(size) });
  if (created.status !== 201) throw new Error(`POST answered ${created.status}: ${await created.text()}`);
  const { pathname } = new URL(created.headers.get('location') ?? '');
  const answer = await server.fetch(pathname, {
    method: 'PATCH',
    headers: {
      'tus-resumable': '1.0.0',
      'content-type': 'application/offset+octet-stream',
      'upload-offset': '0',
    },
    body: ReadableStream.from(paced(path, size, seconds)),
    duplex: 'half',
  });
  if (answer.status !== 204) throw new Error(`PATCH answered ${answer.status}: ${await answer.text()}`);
  return `/api/media/${pathname.split('/').at(-1)}`;
}

async function* paced(path: string, size: number, seconds: number): AsyncGenerator<Uint8Array> {
  const started = performance.now();
  let sent = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 })) {
    const bytes = chunk as Buffer;
    yield bytes;
    sent += bytes.length;
    await sleep(Math.max(0, started + (sent / size) * seconds * 1000 - performance.now()));
  }
}

/** Seconds from the last byte's acknowledgement until the media can be watched, on a server of its own. */
async function untilPlayable(path: string, seconds: number, env: Record<string, string>): Promise<number> {
  const server = await startServer({ LOG_LEVEL: 'warn', DISK_FLOOR: '0', EARLY_MIN_SIZE: '2MB', ...env });
  try {
    const media = await upload(server, path, seconds);
    for (const started = performance.now(); ; await sleep(LOOK_EVERY_MS)) {
      const { status } = (await (await server.fetch(media)).json()) as { status: string };
      if (['playable', 'ready'].includes(status)) return (performance.now() - started) / 1000;
      if (status === 'failed') throw new Error(`${path} failed`);
    }
  } finally {
    await server.dispose();
  }
}

const table = [
  machine(),
  '',
  '| upload | MB | playable after s | without EARLY |',
  '| --- | --: | --: | --: |',
];

async function row(what: string, path: string, seconds: number, env: Record<string, string>): Promise<void> {
  const early: number[] = [];
  for (let round = 0; round < ROUNDS; round++) early.push(await untilPlayable(path, seconds, env));
  const late = await untilPlayable(path, LATE_SECONDS, { ...env, EARLY: 'false' });
  const { size } = await stat(path);
  const cells = [what, (size / 1e6).toFixed(0), Math.max(...early).toFixed(2), late.toFixed(2)];
  table.push(`| ${cells.join(' | ')} |`);
  process.stderr.write(`${table.at(-1)}\n`);
}

async function rows(place: keyof typeof FILM_SECONDS, env: Record<string, string>): Promise<void> {
  const film = await repeated(await phone(SECONDS), TIMES);
  await row(`H.264 MP4, ${place}`, film, FILM_SECONDS[place], env);
  await row(`H.264 MKV, ${place}`, await remuxed(film, 'mkv'), FILM_SECONDS[place], env);
  await row(`H.264 TS, ${place}`, await remuxed(film, 'ts'), FILM_SECONDS[place], env);
  // Half as fast as it plays: one rung of 1080p keeps up with that on two cores.
  await row(`HEVC MP4 1080p, ${place}`, await hevc(SECONDS), 2 * SECONDS, env);
}

const [onDisk, onS3] = ['--s3', '--disk'].map((other) => !process.argv.includes(other));
if (onDisk) await rows('disk', {});
if (onS3) await rows('S3', s3Environment(await startS3()));
console.log(table.join('\n'));
if (onDisk && onS3 && !quick) await publish('performance.md', 'early', table.join('\n'));
