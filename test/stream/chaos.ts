/**
 * Many uploads through a Stream that does everything wrong, onto two servers that keep being killed. Everything is
 * real but Cloudflare: processes, PostgreSQL, tus, HTTP. The stand-in is a process of its own, so that it remembers.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from '../../db/dialect.ts';
import { openTestDatabase } from '../databases.ts';
import { exitOf, startProgram } from '../program.ts';
import { freePort } from '../ports.ts';
import { eventually, startServer, type TestServer } from '../server.ts';
import type { Ledger } from '../stand-ins/stream/control.ts';
import type { Faults } from '../stand-ins/stream/faults.ts';
import { ACCOUNT, TOKEN } from '../stand-ins/stream/server.ts';
import type { WorldOptions } from '../stand-ins/stream/world.ts';
import { metadata, mediaIdOf } from '../tus.ts';
import type { Random } from '../uploads/random.ts';

const SECRET = 'a secret of the webhook';
const FAULTS: Partial<Faults> = {
  ...{ badGatewayAfter: 0.08, badGatewayBefore: 0.04, hangUp: 0.06, tooMany: 0.02, tooLarge: 0.02 },
  ...{ stale: 0.1, notFound: 0.1, drop: 0.25, duplicate: 0.2, reorder: 0.3, early: 0.1 },
  ...{ originError: 0.06, nonVideo: 0.1 },
};

export interface ChaosReport {
  uploads: number;
  kills: number;
  ready: number;
  failed: number;
  /** Videos the stand-in ever made, and those it still has. */
  made: number;
  live: number;
  /** Webhooks that reached a server. */
  delivered: number;
  calls: number;
  seconds: number;
  /** What is not as it must be. */
  wrong: string[];
}

export async function runChaos(uploads: number, random: Random): Promise<ChaosReport> {
  const began = Date.now();
  const database = await openTestDatabase('postgres');
  const dir = await mkdtemp(join(tmpdir(), 'millrace-stream-'));
  const port = await freePort();
  const standIn = await startStandInProcess({
    seed: random.between(1, 2 ** 30),
    faults: FAULTS,
    ...{ stepMs: 60, maxInFlight: 60, listLagMs: 300, webhookDelayMs: 1_500, fetchTries: 400 },
    webhook: { url: `http://127.0.0.1:${port}/webhooks/cloudflare`, secret: SECRET },
  });
  const env = {
    ...{ DATA_DIR: dir, DATABASE_URL: database.url!, PUBLIC_URL: `http://127.0.0.1:${port}` },
    ...{
      ENCODER: 'stream',
      STREAM_ACCOUNT_ID: ACCOUNT,
      STREAM_API_TOKEN: TOKEN,
      STREAM_API_URL: standIn.url,
    },
    ...{ STREAM_WEBHOOK_SECRET: SECRET, STREAM_MAX_IN_FLIGHT: '80', STREAM_POLL_CALLS: '100000' },
    ...{ STREAM_LOOKUP: '60ms', STREAM_TIMEOUT: '2s', STREAM_POLL_FIRST: '1s', STREAM_POLL_LONGEST: '3s' },
    ...{ JOB_LEASE: '3s', LOG_LEVEL: 'warn' },
  };
  const servers: TestServer[] = [];
  try {
    servers.push(await startServer({ ...env, PORT: String(port) }), await startServer(env));
    const sent = new Map<string, string>();
    const kills = await whileKilling(servers, random, () => uploadAll(servers, uploads, random, sent));
    await standIn.control('faults', Object.fromEntries(Object.keys(FAULTS).map((name) => [name, 0])));
    const wrong: string[] = [];
    await settle(database.db).catch((error: unknown) => wrong.push(String(error)));
    const ledger = await standIn.control('ledger');
    wrong.push(...(await audit(database.db, ledger, sent)));
    const count = async (status: string): Promise<number> =>
      (await database.db.selectFrom('media').select('id').where('status', '=', status).execute()).length;
    return {
      ...{ uploads: sent.size, kills, ready: await count('ready'), failed: await count('failed'), wrong },
      made: ledger.videos.length,
      live: ledger.videos.filter(({ deleted }) => !deleted).length,
      delivered: ledger.deliveries.filter(({ status }) => status === 204).length,
      calls: ledger.calls.length,
      seconds: Math.round((Date.now() - began) / 1000),
    };
  } finally {
    await Promise.all(servers.map((server) => server.dispose()));
    await standIn.close();
    await database.close();
    await rm(dir, { recursive: true, force: true });
  }
}

async function startStandInProcess(options: WorldOptions) {
  const child = startProgram('stream-stand-in.ts', JSON.stringify(options));
  const [line] = (await once(child.stdout!, 'data')) as [Buffer];
  const url = line.toString().trim();
  return {
    url,
    async control(what: string, body?: unknown): Promise<Ledger> {
      const init = body === undefined ? {} : { method: 'PUT', body: JSON.stringify(body) };
      return (await (await fetch(new URL(`/control/${what}`, url), init)).json()) as Ledger;
    },
    close: () => exitOf(child, 'SIGKILL'),
  };
}

/** Kills one or the other server, again and again, for as long as `work` takes and some times more. */
async function whileKilling(
  servers: TestServer[],
  random: Random,
  work: () => Promise<void>,
): Promise<number> {
  let kills = 0;
  let extra = 2;
  let working = true;
  const done = work().finally(() => (working = false));
  while (working || extra-- > 0) {
    await sleep(random.between(800, 2_500));
    const server = servers[random.between(0, servers.length - 1)]!;
    await server.kill();
    kills += 1;
    await server.restart();
  }
  await done;
  return kills;
}

async function uploadAll(
  servers: TestServer[],
  uploads: number,
  random: Random,
  sent: Map<string, string>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < uploads) {
      const n = next++;
      const bytes = Buffer.from(
        Array.from({ length: random.between(1, 20_000) }, () => random.between(0, 255)),
      );
      const id = await uploadSurely(servers, n, bytes);
      sent.set(id, createHash('sha256').update(bytes).digest('hex'));
    }
  };
  await Promise.all(Array.from({ length: 6 }, worker));
}

/** One upload, whatever happens to servers: the Idempotency-Key finds it again, HEAD tells how much is there. */
async function uploadSurely(servers: TestServer[], n: number, bytes: Buffer): Promise<string> {
  for (let round = n; ; round++) {
    const server = servers[round % servers.length]!;
    try {
      const opened = await server.fetch('/files', {
        method: 'POST',
        headers: {
          ...{ 'tus-resumable': '1.0.0', 'upload-length': String(bytes.length) },
          ...{ 'idempotency-key': `chaos-${n}`, 'upload-metadata': metadata({ filename: `${n}.mp4` }) },
        },
        signal: AbortSignal.timeout(20_000),
      });
      if (opened.status !== 201) throw new Error(`POST answered ${opened.status}: ${await opened.text()}`);
      const id = mediaIdOf(new URL(opened.headers.get('location') ?? '', server.url).href);
      await send(server, id, bytes);
      return id;
    } catch (error) {
      if (round - n > 200) throw error;
      await sleep(150);
    }
  }
}

async function send(server: TestServer, id: string, bytes: Buffer): Promise<void> {
  const headers = { 'tus-resumable': '1.0.0' };
  const signal = AbortSignal.timeout(20_000);
  const head = await server.fetch(`/files/${id}`, { method: 'HEAD', headers, signal });
  const offset = Number(head.headers.get('upload-offset') ?? 'none');
  if (!Number.isSafeInteger(offset)) throw new Error(`HEAD answered ${head.status}`);
  if (offset === bytes.length) return;
  const answer = await server.fetch(`/files/${id}`, {
    method: 'PATCH',
    headers: {
      ...headers,
      ...{ 'upload-offset': String(offset), 'content-type': 'application/offset+octet-stream' },
    },
    body: new Uint8Array(bytes.subarray(offset)),
    signal,
  });
  if (answer.status !== 204) throw new Error(`PATCH answered ${answer.status}`);
}

/** Until nothing is expected any more: every media at rest, every search and removal done. */
async function settle(db: Db): Promise<void> {
  await eventually(async () => {
    const rest = await db
      .selectFrom('media')
      .select('id')
      .where('status', 'not in', ['ready', 'failed'])
      .executeTakeFirst();
    const due = await db
      .selectFrom('encodeAttempt')
      .select('id')
      .where('nextAt', 'is not', null)
      .executeTakeFirst();
    const job = await db
      .selectFrom('job')
      .select('id')
      .where('status', 'in', ['queued', 'running'])
      .executeTakeFirst();
    return !rest && !due && !job;
  }, 300_000);
}

async function audit(db: Db, ledger: Ledger, sent: Map<string, string>): Promise<string[]> {
  const wrong = ledger.violations.map((line) => `request: ${line}`);
  const live = ledger.videos.filter(({ deleted }) => !deleted);
  const media = await db.selectFrom('media').selectAll().execute();
  const attempts = await db.selectFrom('encodeAttempt').selectAll().orderBy('refetches').execute();
  if (media.length !== sent.size) wrong.push(`${media.length} media of ${sent.size} uploads`);
  if (live.length !== sent.size) wrong.push(`${live.length} live videos of ${sent.size} uploads`);
  for (const attempt of attempts)
    if (!['complete', 'failed', 'superseded'].includes(attempt.state))
      wrong.push(`attempt ${attempt.id} rests as ${attempt.state}`);
  for (const row of media) {
    const attempt = attempts.filter(({ mediaId }) => mediaId === row.id).at(-1);
    const video = live.find(({ uid }) => uid === attempt?.videoId);
    const about = `media ${row.id} (${row.status}, ${row.errorCode})`;
    if (!attempt || !video) wrong.push(`${about}: no live video`);
    else {
      if (video.meta.name !== attempt.id) wrong.push(`${about}: its video bears another name`);
      if (video.sha256 !== sent.get(row.id)) wrong.push(`${about}: the source came as ${video.sha256}`);
      const truth = video.state === 'ready' && video.percent === 100 ? 'ready' : 'failed';
      if (row.status !== truth)
        wrong.push(`${about}: Stream says ${video.state} ${video.percent} ${video.errorCode}`);
    }
  }
  return [...wrong, ...(await revived(db))];
}

/** Media that left a status they must not leave. */
async function revived(db: Db): Promise<string[]> {
  const events = await db
    .selectFrom('event')
    .selectAll()
    .where('type', '=', 'media.status')
    .orderBy('id')
    .execute();
  const last = new Map<string, string>();
  const wrong: string[] = [];
  for (const { mediaId, payload } of events) {
    const { status } = JSON.parse(payload) as { status: string };
    const before = last.get(mediaId ?? '');
    if (before === 'ready' || before === 'failed')
      wrong.push(`media ${mediaId} went from ${before} to ${status}`);
    last.set(mediaId ?? '', status);
  }
  return wrong;
}
