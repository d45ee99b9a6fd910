/**
 * Cloudflare's API over fetch. Own code and small on purpose: the official client repeats POSTs on 5xx and time-outs,
 * and each repetition of a copy is another billable video.
 */
import type { StreamConfig } from '../../stream-config.ts';
import { ProviderError } from '../provider.ts';

export interface Api {
  /** Resolves with `result` of the answer. Throws ProviderError. Never repeats anything. */
  call(method: string, path: string, options?: CallOptions): Promise<unknown>;
  /** The bare answer, for tus; the rest of a path or a whole address. Throws ProviderError when there is none. */
  send(method: string, url: string, init?: RequestInit): Promise<Response>;
}

export interface CallOptions {
  /** Sent as JSON, or a form as it is. */
  body?: Record<string, unknown> | FormData;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export type ApiSettings = Pick<StreamConfig, 'apiUrl' | 'accountId' | 'apiToken' | 'times'>;

/** A request that got no connection has done nothing. */
const NEVER_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

export function createApi({ apiUrl, accountId, apiToken, times }: ApiSettings): Api {
  const root = `${apiUrl}/accounts/${encodeURIComponent(accountId)}/stream`;

  const send: Api['send'] = async (method, url, init = {}) => {
    const address = new URL(/^https?:/.test(url) ? url : root + url);
    const headers = new Headers(init.headers);
    // The token goes to the API and nowhere else, whatever address an answer named.
    if (address.origin === new URL(apiUrl).origin) headers.set('Authorization', `Bearer ${apiToken}`);
    try {
      return await fetch(address, { redirect: 'error', ...init, method, headers });
    } catch (error) {
      throw unanswered(error);
    }
  };

  return {
    send,
    async call(method, path, { body, headers = {}, signal } = {}) {
      const timeout = AbortSignal.timeout(times.request);
      const form = body instanceof FormData;
      const answer = await send(method, path, {
        headers: {
          Accept: 'application/json',
          ...(body && !form ? { 'Content-Type': 'application/json' } : {}),
          ...headers,
        },
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
        ...(body ? { body: form ? body : JSON.stringify(body) } : {}),
      });
      const text = await answer.text().catch((error: unknown) => {
        throw unanswered(error);
      });
      if (!answer.ok) throw troubleOf(answer, text);
      return resultOf(text);
    },
  };
}

/** `{success, result, errors}`: anything else on a 2xx does not say what happened. A deletion may answer nothing. */
function resultOf(text: string): unknown {
  if (text.trim() === '') return null;
  try {
    const envelope = JSON.parse(text) as { success?: unknown; result?: unknown } | null;
    if (envelope && envelope.success !== false) return envelope.result ?? null;
  } catch {
    // Falls through: a page of a proxy, say.
  }
  throw new ProviderError(
    'unclear',
    `Cloudflare answered with what it does not document: ${text.slice(0, 200)}`,
  );
}

/** What a status other than 2xx says about what happened. Also for tus, whose answers have no envelope. */
export function troubleOf(answer: Response, text: string): ProviderError {
  const message = `Cloudflare answered ${answer.status}: ${messageIn(text)}`;
  const { status } = answer;
  // 413: "more videos queued or encoding than allowed"; the size of files is checked before.
  if (status === 429 || status === 413)
    return new ProviderError('busy', message, {
      retryAfterMs: retryAfter(answer.headers.get('retry-after')),
    });
  if (status === 401 || status === 403) return new ProviderError('unauthorized', message);
  if (status === 404 || status === 410) return new ProviderError('missing', message);
  if (status >= 400 && status < 500 && status !== 408) return new ProviderError('refused', message);
  return new ProviderError('unclear', message);
}

function messageIn(text: string): string {
  try {
    const { errors } = JSON.parse(text) as { errors?: { code?: number; message?: string }[] };
    const first = errors?.[0];
    if (first?.message) return `${first.message} (${first.code ?? 'no code'})`;
  } catch {
    // Not JSON: shown as it is.
  }
  return text.slice(0, 200) || 'nothing';
}

/** Milliseconds (RFC 9110, section 10.2.3: seconds or a date), an hour at most. */
function retryAfter(value: string | null): number {
  const seconds = Number(value ?? '');
  const ms = Number.isFinite(seconds) && value ? seconds * 1000 : Date.parse(value ?? '') - Date.now();
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), 3_600_000) : 60_000;
}

function unanswered(error: unknown): ProviderError {
  if (error instanceof ProviderError) return error;
  const cause = (error as { cause?: { code?: string; message?: string } } | null)?.cause;
  const trouble = NEVER_SENT.has(cause?.code ?? '') ? 'not_sent' : 'unclear';
  const words = cause?.code ?? cause?.message ?? (error as Error | null)?.message ?? String(error);
  return new ProviderError(trouble, `Cloudflare did not answer: ${words}`, { cause: error });
}
