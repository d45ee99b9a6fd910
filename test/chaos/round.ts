/** One round: clients upload through the bad network while servers are killed; then everything is compared. */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { sourceKey } from '../../server/storage/storage.ts';
import type { TestServer } from '../server.ts';
import { mediaIdOf } from '../tus.ts';
import type { Fault } from '../uploads/fault-proxy.ts';
import { randomFrom, type Random } from '../uploads/random.ts';
import { runClient } from './clients.ts';
import type { Kill, RoundPlan, UploadPlan } from './plan.ts';
import type { Stage } from './stage.ts';
import type { Tally } from './tally.ts';
import { createWitness, type Witness } from './witness.ts';

/** A round that takes longer has an upload that does not come to its end. */
const ROUND_MS = 180_000;
/** How long a final upload is waited for: its client was answered before it was whole, and a killed server's lease has to lapse. */
const JOINED_WITHIN_MS = 60_000;
/** Of a round, on S3: an S3 that fails for ever leaves nothing to prove. */
const STORAGE_FAULT_LIMIT = 60;
const STORAGE_FAULTS: Fault[] = ['error', 'reset', 'lost', 'broken', 'stall', 'slow'];

interface Outcome {
  plan: UploadPlan;
  bytes: Buffer;
  url: string | undefined;
}

/** Plays a plan and adds to the tally what it saw. */
export async function playRound(
  stage: Stage,
  plan: RoundPlan,
  { pool, seed, tally }: { pool: Buffer; seed: number; tally: Tally },
): Promise<void> {
  const witness = createWitness();
  const since = Date.now();
  const outcomes = await upload(stage, plan, { pool, seed, tally, witness });
  for (const outcome of outcomes) await compare(stage, outcome, witness, tally);
  await auditLedger(stage, since, witness, tally);
  tally.rounds++;
  tally.uploads += plan.uploads.length;
  tally.bytesAcknowledged += witness.acknowledged();
  tally.bytesLost += witness.lost();
  tally.complaints.push(...witness.complaints);
}

async function upload(
  stage: Stage,
  plan: RoundPlan,
  { pool, seed, tally, witness }: { pool: Buffer; seed: number; tally: Tally; witness: Witness },
): Promise<Outcome[]> {
  const { network, faults } = stage;
  const killer = createKiller(stage, plan, tally);
  network.turn(plan.network, randomFrom(seed + 1), killer.onBytes);
  const before = { ...network.counts };
  if (faults) faults.rule = faultRule(plan.storageFaults, randomFrom(seed + 2), tally);
  const deadline = Date.now() + ROUND_MS;
  const work = plan.uploads.map(async (own, i) => {
    const bytes = pool.subarray(own.start, own.start + own.size);
    const url = await runClient(own, {
      ...{ endpoint: `http://127.0.0.1:${network.port}/files`, bytes, witness, deadline },
      random: randomFrom(seed + 10 + i),
      onLastByte: () => killer.onLastByte(i),
    }).catch((error: unknown) => {
      witness.complain(`${own.name} (${JSON.stringify(own)}): ${String(error)}`);
      return undefined;
    });
    return { plan: own, bytes, url };
  });
  const outcomes = await Promise.all(work);
  await killer.done();
  network.calm();
  if (faults) faults.rule = () => 'pass';
  for (const kind of Object.keys(before) as (keyof typeof before)[])
    count(tally, `connections ${kind}`, network.counts[kind] - before[kind]);
  return outcomes;
}

/** As a service manager does: a server that can't reach its storage at boot ends, and is started once more. */
async function startAgain(server: TestServer): Promise<void> {
  for (let tries = 1; ; tries++)
    try {
      return await server.restart();
    } catch (error) {
      if (tries === 10) throw error;
    }
}

/** Kills servers when their moment comes, one after the other, and starts them again. */
function createKiller(stage: Stage, plan: RoundPlan, tally: Tally) {
  const total = plan.uploads.reduce((sum, { size }) => sum + size, 0);
  const waiting = new Set<Kill>(plan.kills);
  let killing: Promise<void> = Promise.resolve();
  const kill = (one: Kill, delayMs: number): void => {
    if (!waiting.delete(one)) return;
    killing = killing.then(async () => {
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      const victims = one.server === 'all' ? stage.servers : [stage.servers[one.server]!];
      await Promise.all(victims.map((server) => server.kill()));
      await Promise.all(victims.map(startAgain));
      tally.kills += victims.length;
    });
  };
  return {
    onBytes(passed: number): void {
      for (const one of waiting) if ('share' in one.when && passed >= one.when.share * total) kill(one, 0);
    },
    onLastByte(upload: number): void {
      for (const one of waiting)
        if ('lastByteOf' in one.when && one.when.lastByteOf === upload) kill(one, one.when.delayMs);
    },
    done: () => killing,
  };
}

/** Faults at random, now and then several in a row so that the SDK's own tries are used up. */
function faultRule(probability: number, random: Random, tally: Tally): () => Fault {
  let row = 0;
  let left = STORAGE_FAULT_LIMIT;
  return () => {
    if (left <= 0) return 'pass';
    if (row === 0 && probability > 0 && random.chance(0.02)) row = 5;
    const struck = row > 0 || random.chance(probability);
    row = Math.max(0, row - 1);
    if (!struck) return 'pass';
    left--;
    const fault = random.pick(STORAGE_FAULTS);
    count(tally, `S3: ${fault}`, 1);
    return fault;
  };
}

/** The answer to a HEAD; that of a final upload which is still put together is waited for: it names no offset. */
async function standing(server: TestServer, id: string): Promise<Response> {
  for (const since = Date.now(); ; await sleep(100)) {
    const head = await server.fetch(`/files/${id}`, {
      method: 'HEAD',
      headers: { 'tus-resumable': '1.0.0' },
    });
    const isUnjoined = head.status === 200 && head.headers.get('upload-offset') === null;
    if (!isUnjoined || Date.now() - since > JOINED_WITHIN_MS) return head;
  }
}

/** What became of an upload, as its client, the API, the storage and the ledger see it. */
async function compare(stage: Stage, { plan, bytes, url }: Outcome, witness: Witness, tally: Tally) {
  if (url === undefined) return;
  const server = stage.servers[0]!;
  const id = mediaIdOf(url);
  const head = await standing(server, id);
  if (plan.ending === 'terminate') {
    if (![404, 410].includes(head.status))
      witness.complain(`${url} was terminated, HEAD says ${head.status}`);
    return;
  }
  if (head.status !== 200) return witness.complain(`${url}: HEAD says ${head.status}`);
  const offset = Number(head.headers.get('upload-offset'));
  witness.told(url, offset, witness.highest(url));
  if (plan.ending !== 'finish') return;
  if (offset !== plan.size) witness.complain(`${url}: ${plan.size} bytes were sent, HEAD says ${offset}`);
  const sent = createHash('sha256').update(bytes).digest('hex');
  const answer = await server.fetch(`/media/${id}/source`);
  const played = createHash('sha256').update(Buffer.from(await answer.arrayBuffer()));
  const wrong = [await stage.digest(id), played.digest('hex')].filter((digest) => digest !== sent);
  tally.objectsChecked++;
  if (!wrong.length) return;
  tally.objectsWrong++;
  witness.complain(`${url} (${JSON.stringify(plan)}): stored ${wrong.join(', ')}; sent ${sent}`);
}

/** Every upload of the round, also those whose creation nobody got an answer to: finished once or not at all. */
async function auditLedger(stage: Stage, since: number, witness: Witness, tally: Tally): Promise<void> {
  const rows = await stage.db
    .selectFrom('upload')
    .select(['id', 'mediaId', 'kind', 'state'])
    .where('createdAt', '>=', since)
    .execute();
  for (const { id, mediaId, state } of rows) {
    if (state === 'receiving' || state === 'assembling') await terminate(stage, id, witness);
    if (!mediaId) continue;
    const finishes = await finishesOf(stage, mediaId);
    const due = state === 'complete' ? 1 : 0;
    for (const times of finishes) {
      if (times < due) tally.finishesMissed++;
      if (times > Math.max(due, state === 'terminated' ? 1 : 0)) tally.finishesDoubled++;
    }
    if (state === 'complete') await stage.storage.delete(sourceKey(mediaId));
  }
}

/** How often its media began to be processed, and how often its first job was added. */
async function finishesOf(stage: Stage, mediaId: string): Promise<number[]> {
  const events = await stage.db
    .selectFrom('event')
    .select('payload')
    .where('mediaId', '=', mediaId)
    .where('type', '=', 'media.status')
    .execute();
  const jobs = await stage.db
    .selectFrom('job')
    .select('id')
    .where('mediaId', '=', mediaId)
    .where('task', '=', 'probe')
    .execute();
  const begun = events.filter(
    ({ payload }) => (JSON.parse(payload) as { status: string }).status === 'processing',
  );
  return [begun.length, jobs.length];
}

async function terminate(stage: Stage, id: string, witness: Witness): Promise<void> {
  const headers = { 'tus-resumable': '1.0.0' };
  const answer = await stage.servers[0]!.fetch(`/files/${id}`, { method: 'DELETE', headers });
  if (![204, 404, 410].includes(answer.status))
    witness.complain(`${id}: DELETE answered ${answer.status} ${await answer.text()}`);
}

function count(tally: Tally, kind: string, times: number): void {
  tally.faults[kind] = (tally.faults[kind] ?? 0) + times;
}
