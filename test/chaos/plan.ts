/** What happens in a round: drawn from the seed before it begins, so that the same seed gives the same plan. */
import { randomFrom, type Random } from '../uploads/random.ts';

export const MIB = 1024 * 1024;
/** Of S3 parts during chaos: the least that S3 allows, so that small files have several. */
export const PART = 5 * MIB;
/** Random bytes that all uploads are cut from. */
export const POOL = 48 * MIB;

/** Of a stream whose length is not declared, where a plan wants no pieces: the client keeps each in memory. */
export const CHUNK_OF_STREAMS = 4_000_000;

/**
 * bare:    this program's own requests, which see every answer
 * tus-js:  tus-js-client, and its IETF draft modes
 */
export type ClientName = 'bare' | 'tus-js' | 'ietf-draft-03' | 'ietf-draft-05';

export interface UploadPlan {
  name: string;
  client: ClientName;
  /** First byte in the pool. */
  start: number;
  size: number;
  /** Bytes per PATCH, drawn anew for each up to this. */
  chunk: number;
  /** The creation brings bytes along. */
  withCreation: boolean;
  idempotencyKey: boolean;
  deferred: boolean;
  checksum: boolean;
  /** Parts uploaded at the same time and concatenated; 1: none. */
  parallel: number;
  /** Gives a silent request up without closing its connection and asks anew. */
  impatient: boolean;
  /** Sends PATCH requests after the end, as clients do that missed the last answer. */
  repeatsEnd: boolean;
  ending: 'finish' | 'abandon' | 'terminate';
}

export interface Kill {
  /** Index of the server, or all of them. */
  server: number | 'all';
  /** Share of the round's bytes that has passed; or when this upload's last byte left its client. */
  when: { share: number } | { lastByteOf: number; delayMs: number };
}

export interface NetworkPlan {
  cuts: number;
  stalls: number;
  /** Answers that never arrive. */
  lost: number;
  /** Bytes of a connection before one of these happens. */
  after: { min: number; max: number };
  /** Share of connections that are slow. */
  slow: number;
}

export interface RoundPlan {
  uploads: UploadPlan[];
  kills: Kill[];
  network: NetworkPlan;
  /** Probability that a call to S3 meets a fault. */
  storageFaults: number;
}

export interface Ability {
  servers: number;
  /** Storage is S3, so that faults can be put in between. */
  s3: boolean;
  checksum: boolean;
  concatenation: boolean;
  ietf: boolean;
  maxSize: number;
}

export function planRound(seed: number, round: number, can: Ability): RoundPlan {
  const random = randomFrom(Math.imul(seed ^ 0x9e3779b9, round * 2 + 1));
  const uploads = Array.from({ length: random.between(3, 6) }, (_, i) => planUpload(random, `u${i}`, can));
  return {
    uploads,
    kills: planKills(random, uploads.length, can.servers),
    network: {
      cuts: random.pick([0, 2, 5, 9]),
      stalls: random.pick([0, 0, 1, 2]),
      lost: random.pick([0, 1, 3]),
      after: random.pick([
        { min: 1, max: 3_000 },
        { min: 1_000, max: 300_000 },
        { min: 100_000, max: 6 * MIB },
      ]),
      slow: random.pick([0, 0, 0.2]),
    },
    storageFaults: can.s3 ? random.pick([0, 0.05, 0.15, 0.35]) : 0,
  };
}

function planUpload(random: Random, name: string, can: Ability): UploadPlan {
  const client = random.pick<ClientName>([
    ...(['bare', 'bare', 'tus-js', 'tus-js'] as const),
    ...(can.ietf ? (['ietf-draft-03', 'ietf-draft-05'] as const) : []),
  ]);
  const size = Math.min(can.maxSize, planSize(random));
  const tus = client === 'bare' || client === 'tus-js';
  const parallel = tus && can.concatenation && size > 10 && random.chance(0.25) ? random.between(2, 4) : 1;
  const start = random.between(0, POOL - size);
  const chunk = random.pick([Infinity, Infinity, 9 * MIB, 3 * MIB, PART, 300_000]);
  return {
    ...{ name, client, size, start, chunk },
    withCreation: tus && random.chance(0.4),
    idempotencyKey: tus && random.chance(0.4),
    deferred: tus && parallel === 1 && random.chance(0.2) && (client === 'bare' || endsInAPiece(size, chunk)),
    checksum: client === 'bare' && can.checksum && random.chance(0.5),
    parallel,
    impatient: random.chance(0.4),
    repeatsEnd: random.chance(0.4),
    ending: client === 'bare' && parallel === 1 ? random.pick(ENDINGS) : 'finish',
  };
}

/** Where a stream's last piece is as long as the others, or there is none, tus-js-client waits for ever for the end, whatever the server. */
const endsInAPiece = (size: number, chunk: number): boolean =>
  size % (chunk === Infinity ? CHUNK_OF_STREAMS : chunk) > 0;

const ENDINGS = [...Array<'finish'>(8).fill('finish'), 'abandon', 'terminate'] as const;

/** Mostly small, many right at the edges of parts. */
function planSize(random: Random): number {
  const edge = PART * random.between(1, 2) + random.pick([-1, 0, 1]);
  const small = random.between(1, 200_000);
  const some = random.between(1, 8 * MIB);
  const large = random.between(10 * MIB, 40 * MIB);
  return random.pick([
    0,
    1,
    small,
    small,
    small,
    edge,
    edge,
    edge,
    edge,
    some,
    some,
    some,
    some,
    some,
    large,
  ]);
}

function planKills(random: Random, uploads: number, servers: number): Kill[] {
  return Array.from({ length: random.pick([0, 1, 1, 1, 2]) }, () => ({
    server: servers > 1 ? random.pick([0, 1, 'all' as const]) : 0,
    when: random.chance(0.4)
      ? { lastByteOf: random.between(0, uploads - 1), delayMs: random.between(0, 40) }
      : { share: random.next() },
  }));
}
