/**
 * Errors a client may see. Everything else is a bug or an outage and is answered as `internal`.
 */
export interface ErrorOptionsOf {
  /** Sent as members of the problem document, e.g. `{limit: 123}`. */
  extra?: Record<string, unknown>;
  headers?: Record<string, string>;
  cause?: unknown;
}

/** An error with a stable code, an HTTP status and a sentence that says what to do. */
export class AppError extends Error {
  readonly status: number;
  readonly code: string;
  readonly extra: Record<string, unknown>;
  readonly headers: Record<string, string>;

  constructor(status: number, code: string, message: string, options: ErrorOptionsOf = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AppError';
    this.status = status;
    this.code = code;
    this.extra = options.extra ?? {};
    this.headers = options.headers ?? {};
  }
}

/** The body of an error response. RFC 9457 (problem details), with our `code` as an extension member. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  code: string;
  detail: string;
  [member: string]: unknown;
}

/** Renders an error as RFC 9457 problem+json. Unknown errors give away nothing but `internal`. */
export function toProblem(error: unknown): Problem {
  const known =
    error instanceof AppError
      ? error
      : new AppError(500, 'internal', 'Something went wrong on the server. The log says what.');
  return {
    type: `urn:millrace:error:${known.code}`,
    title: known.code.replaceAll('_', ' '),
    status: known.status,
    code: known.code,
    detail: known.message,
    ...known.extra,
  };
}

export const notFound = (what = 'Nothing'): AppError =>
  new AppError(404, 'not_found', `${what} was found at this address.`);

/** The text of anything that was thrown, for logs. */
export function messageOf(error: unknown): string {
  // Of a host with several addresses: what each of them said.
  if (error instanceof AggregateError && !error.message) return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}

/**
 * Words for a network or a service that isn't there now: Node's and the operating system's, S3's, PostgreSQL's (classes
 * 08 and 57P, "too many connections"), and those of its driver, which has no codes.
 */
const OUTAGE_CODES =
  /^(ECONN(REFUSED|RESET|ABORTED)|ETIMEDOUT|EPIPE|EAI_AGAIN|ENOTFOUND|EHOSTUNREACH|ENETUNREACH|TimeoutError|NetworkingError|SlowDown|ServiceUnavailable|InternalError|RequestTimeout|RequestTimeTooSkewed|08...|57P0[1-4]|53300)$/;
const OUTAGE_MESSAGES = /^(Connection terminated|timeout expired|timeout exceeded when trying to connect)/;

/** True for an error that the same request may not meet again: a service is away, not wrongly asked. */
export function isOutage(error: unknown): boolean {
  const { code, name, message, $metadata } = (error ?? {}) as {
    code?: unknown;
    name?: unknown;
    message?: unknown;
    $metadata?: { httpStatusCode?: number };
  };
  const status = $metadata?.httpStatusCode ?? 0;
  if (status >= 500 || status === 429) return true;
  return (
    [code, name].some((word) => OUTAGE_CODES.test(String(word))) || OUTAGE_MESSAGES.test(String(message))
  );
}

/**
 * There is nothing more to read of an upload while it arrives: it was given up, nobody went on with it, or it can only be
 * read when it is whole.
 */
export class PrefixEnded extends Error {}
