/** Talks to the HTTP API as the logged-in browser: the session is a cookie. */
import { at } from './root.ts';
import type { Me } from './types.ts';

/** An answer that was not 2xx, with the server's stable code and sentence; status 0 when there was no answer. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.code = code;
  }
}

/** Sends a request to a path of this server and returns the parsed JSON, or undefined for 204. Throws ApiError. */
export async function request<T>(method: string, path: string, body?: unknown): Promise<T> {
  const response = await fetch(at(path), {
    method,
    headers: {
      accept: 'application/json',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  }).catch(() => {
    throw new ApiError(0, 'unreachable', 'The server can’t be reached. Is it running, and are you online?');
  });
  const text = await response.text();
  const json = parse(text);
  if (response.ok) return json as T;
  const problem = (json ?? {}) as { code?: string; detail?: string };
  throw new ApiError(
    response.status,
    problem.code ?? 'http_error',
    problem.detail ?? `The server answered ${response.status}.`,
  );
}

function parse(text: string): unknown {
  try {
    return text ? JSON.parse(text) : undefined;
  } catch {
    return undefined; // a proxy's HTML page; the status says enough
  }
}

/** A path with those query parameters that have a value. */
export function withQuery(path: string, query: Record<string, string | number | undefined>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query))
    if (value !== undefined && value !== '') search.set(name, String(value));
  return search.size ? `${path}?${search}` : path;
}

/** Who is logged in; undefined when nobody is. */
export async function whoAmI(): Promise<Me | undefined> {
  try {
    return await request<Me>('GET', '/api/me');
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return undefined;
    throw error;
  }
}

/** Leaves for the login page, which comes back here afterwards. */
export function goToLogin(): void {
  const next = location.pathname + location.search;
  location.replace(withQuery(at('/login'), { next: next === at('/') ? undefined : next }));
}

/** The sentence to show for anything that was thrown. */
export function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
