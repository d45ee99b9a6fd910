/** One HTTP request and what is known about it. @tus/server's handlers see a web Request; the bytes stay with Node's. */
import type { IncomingMessage } from 'node:http';
import type { UploadRow } from '../../db/schema.ts';
import type { Principal } from '../auth/principal.ts';
import type { AppError } from '../errors.ts';
import type { Lease } from './ledger/leases.ts';
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

const exchanges = new WeakMap<Request | Lease, Exchange>();

/**
 * What @tus/server hands on of an exchange is its web request, or that a lease is held. (An AsyncLocalStorage would know
 * without being told, and cost every promise and every callback of the process something.)
 */
export function attach(exchange: Exchange, to: Request | Lease): void {
  exchanges.set(to, exchange);
}

/** The exchange of a lease; undefined where it was taken for something else, to settle an upload say. */
export const exchangeIfAny = (lease: Lease): Exchange | undefined => exchanges.get(lease);

/** The exchange that a web request, or a lease taken for one, belongs to. */
export function exchangeOf(it: Request | Lease): Exchange {
  const exchange = exchanges.get(it);
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
