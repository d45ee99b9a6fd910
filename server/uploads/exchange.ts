/** One HTTP request and what is known about it. @tus/server's handlers see a web Request; the bytes stay with Node's. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingMessage } from 'node:http';
import type { UploadRow } from '../../db/schema.ts';
import type { Principal } from '../auth/principal.ts';
import type { AppError } from '../errors.ts';
import type { UploadStanding } from './ledger/ledger.ts';
import type { AddressedRequest } from './location.ts';

export interface Exchange {
  request: IncomingMessage & AddressedRequest;
  /** Set once the request was found to be allowed. */
  principal?: Principal;
  /** The upload that the request is about, as it stood when the request was authorized. */
  standing?: UploadStanding;
  /** The upload as the request left it. */
  upload?: UploadRow;
  /** What went wrong, for the response. */
  problem?: AppError;
}

const current = new AsyncLocalStorage<Exchange>();

/** Runs `work` so that everything it awaits finds this exchange. */
export const withExchange = <T>(exchange: Exchange, work: () => Promise<T>): Promise<T> =>
  current.run(exchange, work);

/** The exchange that is being answered. */
export function currentExchange(): Exchange {
  const exchange = current.getStore();
  if (!exchange) throw new Error('no request is being answered here');
  return exchange;
}

/** The only one of several header lines; Node has joined the repeatable ones already. */
export function header(exchange: Exchange, name: string): string | undefined {
  const value = exchange.request.headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** "X-HTTP-Method-Override … MUST be interpreted as the request's method by the Server" */
export const methodOf = (exchange: Exchange): string =>
  (header(exchange, 'x-http-method-override') ?? exchange.request.method ?? '').toUpperCase();
