/** The clients of a round. Each goes on until its upload is what its plan wants, whatever the network does. */
import { createHash, randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { DetailedError, Upload, type UploadOptions } from 'tus-js-client';
import { ADMIN_KEY } from '../server.ts';
import { metadata } from '../tus.ts';
import type { Random } from '../uploads/random.ts';
import { CHUNK_OF_STREAMS, type UploadPlan } from './plan.ts';
import type { Witness } from './witness.ts';

export interface ClientContext {
  /** Of the collection, behind the bad network. */
  endpoint: string;
  bytes: Buffer;
  random: Random;
  witness: Witness;
  /** The last byte of this upload was just given to the network. */
  onLastByte(): void;
  /** Milliseconds since the epoch: when to give up, which is a failure. */
  deadline: number;
}

/** Runs an upload to the end its plan wants; resolves with its URL. */
export function runClient(plan: UploadPlan, context: ClientContext): Promise<string> {
  return plan.client === 'bare' && plan.parallel === 1
    ? bareClient(plan, context)
    : tusJsClient(plan, context);
}

const AUTHORIZATION = { authorization: `Bearer ${ADMIN_KEY}` };
const COMMON = { ...AUTHORIZATION, 'tus-resumable': '1.0.0' };
const OCTETS: Record<string, string> = { 'content-type': 'application/offset+octet-stream' };
/** What tells a client to come again; anything else ends an upload. */
const AGAIN = [409, 423, 500, 502, 503, 504];

/** tus-js-client as it is published, with a short pause between its tries. */
async function tusJsClient(plan: UploadPlan, context: ClientContext): Promise<string> {
  const { witness, bytes } = context;
  const floors = new WeakMap<object, number>();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`${plan.name} did not come to its end`)),
      context.deadline - Date.now(),
    );
    const options: UploadOptions = {
      endpoint: context.endpoint,
      headers: { ...AUTHORIZATION, ...(plan.idempotencyKey ? { 'idempotency-key': randomUUID() } : {}) },
      metadata: { filename: `${plan.name}.bin` },
      retryDelays: Array.from({ length: 3_000 }, () => 30),
      chunkSize: plan.chunk === Infinity && plan.deferred ? CHUNK_OF_STREAMS : plan.chunk,
      uploadDataDuringCreation: plan.withCreation && plan.parallel === 1,
      ...(plan.client === 'bare' || plan.client === 'tus-js' ? {} : { protocol: plan.client }),
      ...(plan.parallel > 1 ? { parallelUploads: plan.parallel } : {}),
      ...(plan.deferred ? { uploadLengthDeferred: true } : {}),
      onBeforeRequest: (request) => void floors.set(request, witness.highest(request.getURL())),
      onAfterResponse: (request, response) => {
        const offset = response.getHeader('Upload-Offset');
        if (offset && response.getStatus() < 300 && request.getMethod() !== 'POST')
          witness.told(request.getURL(), Number(offset), floors.get(request) ?? 0);
      },
      onProgress: (sent) => sent === bytes.length && context.onLastByte(),
      onError: (error) => {
        // The last request of parallel uploads is the only one that tus-js-client does not try again by itself.
        const status = error instanceof DetailedError ? (error.originalResponse?.getStatus() ?? 0) : 0;
        if (plan.parallel > 1 && (status === 0 || AGAIN.includes(status)) && Date.now() < context.deadline)
          return void setTimeout(() => upload.start(), 50);
        clearTimeout(timer);
        reject(error);
      },
      onSuccess: () => (clearTimeout(timer), resolve(upload.url ?? '')),
    };
    // With parallel uploads the key would be the same for every part.
    if (plan.parallel > 1) options.headers = AUTHORIZATION;
    // Bytes, not objects: of a stream of objects tus-js-client gets more than it asks for, and leaves out the end.
    const stream = (): Readable => Readable.from(slices(bytes), { objectMode: false });
    const upload = new Upload(plan.deferred ? stream() : bytes, options);
    upload.start();
  });
}

function* slices(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
}

/** Our own requests: pieces of any size, checksums, a client that loses patience, repeats, gives up or terminates. */
async function bareClient(plan: UploadPlan, context: ClientContext): Promise<string> {
  const { witness, bytes, random } = context;
  const { size } = plan;
  const stopAt = plan.ending === 'finish' ? size : random.between(0, Math.max(0, size - 1));
  let url = '';
  url = await create();
  while (!(await advance())) await sleep(25);
  if (plan.ending === 'terminate') await terminate();
  if (plan.ending === 'finish' && plan.repeatsEnd) await repeatEnd();
  return url;

  async function create(): Promise<string> {
    const key: Record<string, string> = plan.idempotencyKey ? { 'idempotency-key': randomUUID() } : {};
    const body = plan.withCreation ? bytes.subarray(0, random.between(0, stopAt)) : undefined;
    for (;;) {
      const answer = await send(context.endpoint, {
        method: 'POST',
        headers: {
          ...COMMON,
          ...key,
          [plan.deferred ? 'upload-defer-length' : 'upload-length']: plan.deferred ? '1' : String(size),
          'upload-metadata': metadata({ filename: `${plan.name}.bin` }),
          ...(body ? OCTETS : {}),
        },
        ...(body ? { body } : {}),
      });
      if (answer?.status !== 201) {
        expectAgain('POST', answer);
        await sleep(25);
        continue;
      }
      const location = answer.headers.get('location') ?? '';
      witness.told(location, Number(answer.headers.get('upload-offset') ?? 0), 0);
      return location;
    }
  }

  /** HEAD, then PATCHes until one fails. True when the upload is where its plan wants it. */
  async function advance(): Promise<boolean> {
    let floor = witness.highest(url);
    const head = await send(url, { method: 'HEAD', headers: COMMON });
    if (head?.status !== 200) return expectAgain('HEAD', head);
    let offset = Number(head.headers.get('upload-offset'));
    witness.told(url, offset, floor);
    let known = head.headers.get('upload-defer-length') === null;
    while (offset < stopAt || !(known || plan.ending !== 'finish')) {
      floor = witness.highest(url);
      const end = Math.min(stopAt, offset + (plan.chunk === Infinity ? size : random.between(1, plan.chunk)));
      const piece = bytes.subarray(offset, end);
      const last = end === size;
      const sending = send(url, {
        method: 'PATCH',
        headers: {
          ...COMMON,
          ...OCTETS,
          'upload-offset': String(offset),
          ...(plan.checksum ? checksumOf(piece, random) : {}),
          ...(plan.deferred && last && !known ? { 'upload-length': String(size) } : {}),
        },
        body: piece,
      });
      if (last) context.onLastByte();
      const answer = await sending;
      if (answer?.status !== 204) return expectAgain('PATCH', answer);
      offset = Number(answer.headers.get('upload-offset'));
      witness.told(url, offset, floor);
      if (offset !== end) witness.complain(`${url}: PATCH to ${end} answered offset ${offset}`);
      known ||= last;
    }
    return true;
  }

  async function terminate(): Promise<void> {
    for (;;) {
      const answer = await send(url, { method: 'DELETE', headers: COMMON });
      if (answer && [204, 404, 410].includes(answer.status)) return;
      expectAgain('DELETE', answer);
      await sleep(25);
    }
  }

  /** As a client does that missed the last answer. */
  async function repeatEnd(): Promise<void> {
    for (let i = 0; i < 2; i++) {
      const headers = { ...COMMON, ...OCTETS, 'upload-offset': String(size) };
      const answer = await send(url, { method: 'PATCH', headers, body: Buffer.alloc(0) });
      if (answer?.status !== 204) expectAgain('empty PATCH', answer);
    }
  }

  /** Undefined when the connection failed, or the client lost patience: the request may then go on behind its back. */
  async function send(to: string, init: RequestInit): Promise<Response | undefined> {
    if (Date.now() > context.deadline) throw new Error(`${plan.name} did not come to its end`);
    const answer = fetch(to, init).then(
      async (response) => {
        await response.arrayBuffer();
        return response;
      },
      () => undefined,
    );
    const late = answer.catch(() => undefined); // the body was cut
    if (!plan.impatient) return late;
    return Promise.race([late, sleep(1_200, undefined, { ref: false })]);
  }

  function expectAgain(what: string, answer: Response | undefined): false {
    if (answer && !AGAIN.includes(answer.status))
      witness.complain(`${url || plan.name}: ${what} answered ${answer.status}, which ends an upload`);
    return false;
  }
}

function checksumOf(piece: Buffer, random: Random): Record<string, string> {
  const algorithm = random.pick(['sha1', 'sha256', 'md5']);
  return { 'upload-checksum': `${algorithm} ${createHash(algorithm).update(piece).digest('base64')}` };
}
