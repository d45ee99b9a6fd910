/**
 * Resumable uploads of the IETF (draft-ietf-httpbis-resumable-upload) on the addresses of tus, through the same ledger,
 * leases and stores: an upload begun in one protocol can be looked at, and gone on with, in the other.
 */
import type { ServerResponse } from 'node:http';
import type { UploadRow } from '../../../db/schema.ts';
import { AppError, notFound } from '../../errors.ts';
import { attach, methodOf, type Exchange } from '../exchange.ts';
import type { Engine } from '../handlers.ts';
import type { Lease } from '../ledger/leases.ts';
import { locationOf, uploadIdOf } from '../location.ts';
import { toAppError } from '../problems.ts';
import type { Answer } from '../response.ts';
import { createAnswers, type Answers } from './answer.ts';
import { dialectOf, UNVERSIONED, type Dialect } from './dialect.ts';
import { createInterim, type Interim } from './interim.ts';
import { completedUpload, inconsistentLength, mismatchingOffset } from './problems.ts';
import {
  assertNoState,
  assertPatchType,
  lengthWith,
  readContent,
  readDraftWish,
  readOffset,
  type Content,
} from './request.ts';

/** Answers one request; undefined when it is none of the draft's. Never throws. */
export type Draft = (
  exchange: Exchange,
  response: ServerResponse,
  common: () => Promise<Headers>,
) => Promise<Answer | undefined>;

/** A request of the draft and how to answer it. */
interface Call {
  exchange: Exchange;
  dialect: Dialect;
  answers: Answers;
  interim: Interim;
  /** The client knows where its upload is. */
  resumable: boolean;
}

export function createDraft(engine: Engine): Draft {
  const { store, leases, create, authorize } = engine;
  const { receive, settle } = engine.receiving;
  const { publicUrl, uploads } = store.ctx.config;

  return async (exchange, response, common) => {
    const method = methodOf(exchange);
    let call: Call | undefined;
    try {
      const dialect = dialectOf(method, exchange.request.headers);
      if (!dialect) return undefined;
      const answers = createAnswers(dialect, uploads, await common());
      const interim = createInterim(exchange.request, response, dialect);
      const current = (call = { exchange, dialect, answers, interim, resumable: false });
      return await answer(method, current);
    } catch (error) {
      const answers = call?.answers ?? createAnswers(UNVERSIONED, uploads, await common());
      return answers.failed(toAppError(error), call?.resumable ?? false);
    }
  };

  async function answer(method: string, call: Call): Promise<Answer> {
    const id = uploadIdOf(call.exchange.request);
    if (id === undefined || (id === '' && (method === 'HEAD' || method === 'DELETE')))
      throw notFound('No upload');
    if (id === '' && method === 'POST') return begin(call);
    if (id !== '' && method === 'PATCH') return append(call, id);
    if (id !== '' && (method === 'HEAD' || method === 'GET')) return stand(call, id);
    if (id !== '' && method === 'DELETE') return cancel(call, id);
    const allowed = id === '' ? 'POST, OPTIONS' : 'HEAD, GET, PATCH, DELETE, OPTIONS';
    throw new AppError(405, 'method_not_allowed', `This address takes ${allowed}.`, {
      headers: { Allow: allowed },
    });
  }

  /** Upload creation. */
  async function begin(call: Call): Promise<Answer> {
    const { exchange, dialect, answers, interim } = call;
    const content = (): Content => readContent(exchange, dialect);
    const wish = () => readDraftWish(exchange, content(), uploads.metadataMax);
    const upload = await create(exchange, wish, async (lease, limit) => {
      interim.announce(answers.announced(addressOf(lease.upload.id), lease.upload));
      call.resumable = true;
      const { offset } = lease.upload; // more than 0: this creation was sent before
      await take(lease, content(), interim, { limit: limit - offset, skip: offset });
    });
    return answers.taken(upload, addressOf(upload.id));

    function addressOf(id: string): string {
      return locationOf(exchange.request, id, publicUrl);
    }
  }

  /** Upload append. */
  async function append(call: Call, id: string): Promise<Answer> {
    const { exchange, dialect, answers, interim } = call;
    await authorize(exchange, id);
    call.resumable = true;
    assertPatchType(exchange, dialect);
    const offset = readOffset(exchange);
    const content = readContent(exchange, dialect, dialect.completeByDefault);
    const lease = await leases.acquire(id);
    attach(exchange, lease);
    try {
      await store.getUpload(id);
      if (lease.upload.state !== 'receiving') return replay(call, lease.upload, offset, content);
      if (offset !== lease.upload.offset) throw mismatchingOffset(lease.upload.offset, offset);
      await record(lease, content);
      if (lease.upload.state === 'receiving')
        await take(lease, content, interim, { limit: (lease.upload.length ?? uploads.maxSize) - offset });
      return answers.taken(lease.upload);
    } finally {
      await lease.release();
    }
  }

  /** "The server MUST record the length". A length that is reached already completes the upload. Throws 400, 413. */
  async function record(lease: Lease, content: Content): Promise<void> {
    const length = lengthWith(content, lease.upload);
    if (length === null || length === lease.upload.length) return;
    await engine.receiving.declareLength(lease, length);
    if (length === lease.upload.offset) await store.getUpload(lease.upload.id);
  }

  /** Appends the body; completes the upload when its end was the end of the upload. */
  async function take(
    lease: Lease,
    content: Content,
    interim: Interim,
    { limit, skip = 0 }: { limit: number; skip?: number },
  ): Promise<void> {
    const stop = interim.report(lease);
    try {
      await receive(lease, limit, { skip, voidsSurplus: true });
    } catch (error) {
      // "rejecting the request once the offset exceeds the length, marking the upload resource invalid"
      const surplus = error instanceof AppError && error.code === 'upload_too_large';
      if (!surplus || lease.upload.state !== 'terminated') throw error;
      throw inconsistentLength('More bytes came than the upload was said to have. It was cancelled.');
    } finally {
      stop();
    }
    const { id, state, offset, length } = lease.upload;
    if (!content.complete || state !== 'receiving') return;
    if (length !== null)
      throw inconsistentLength(`The upload ends at ${offset} bytes, but ${length} were said to come.`);
    await engine.receiving.declareLength(lease, offset);
    await store.getUpload(id);
  }

  /** "The server can choose to replay the final response … if the request to append to the completed upload is valid." */
  function replay({ dialect, answers }: Call, upload: UploadRow, offset: number, content: Content): Answer {
    const valid = offset === upload.offset && content.complete && content.size === 0;
    if (valid && dialect.replays) return answers.taken(upload);
    throw completedUpload();
  }

  /** Offset retrieval. */
  async function stand({ exchange, dialect, answers }: Call, id: string): Promise<Answer> {
    const standing = await authorize(exchange, id);
    assertNoState(exchange, dialect);
    const upload = await settle(standing);
    // Made by tus, of partial uploads: until they are joined there is no offset that one could go on at.
    if (upload.kind === 'final' && upload.state !== 'complete')
      throw new AppError(423, 'locked', 'The parts of this upload are being put together.', {
        headers: { 'Retry-After': '5' },
      });
    return answers.standing(upload);
  }

  /** Upload cancellation. */
  async function cancel({ exchange, dialect, answers }: Call, id: string): Promise<Answer> {
    await authorize(exchange, id);
    assertNoState(exchange, dialect);
    const lease = await leases.acquire(id);
    try {
      await store.remove(id);
    } finally {
      await lease.release();
    }
    return answers.cancelled();
  }
}
