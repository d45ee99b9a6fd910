/** Requests of the IETF's draft, on the wire. */
import { idOf, type EngineOptions } from './harness.ts';
import { wire, type Fields, type WireAnswer, type WireOptions } from './wire.ts';

/** What the tests of the draft tell a server. */
export const DRAFT_ENGINE: EngineOptions = { env: { UPLOAD_MAX_SIZE: '1MB', UPLOAD_EXPIRES: '1h' } };

/** A request as alice in one version; `complete` in that version's own words. */
export function draft(
  version: number | undefined,
  method: string,
  url: string,
  { complete, ...fields }: Fields & { complete?: string } = {},
  body?: Buffer,
  options?: WireOptions,
): Promise<WireAnswer> {
  const flag = complete === undefined ? {} : flagOf(version, complete);
  return wire(
    method,
    url,
    {
      Authorization: 'Bearer alice',
      ...(version === undefined ? {} : { 'Upload-Draft-Interop-Version': String(version) }),
      ...flag,
      ...(body === undefined || fields['Transfer-Encoding'] ? {} : { 'Content-Length': String(body.length) }),
      ...(method === 'PATCH' && (version ?? 8) >= 6 ? { 'Content-Type': 'application/partial-upload' } : {}),
      ...fields,
    },
    body,
    options,
  );
}

const flagOf = (version: number | undefined, complete: string): Record<string, string> =>
  version === 3 ? { 'Upload-Incomplete': complete === '?1' ? '?0' : '?1' } : { 'Upload-Complete': complete };

/** The id of the upload that a creation made. */
export const createdId = (answer: Pick<WireAnswer, 'headers'>): string => idOf(answer.headers['location']);

/** The problem document of an answer. */
export const problem = (answer: WireAnswer): Record<string, unknown> =>
  JSON.parse(answer.body) as Record<string, unknown>;

/** What is said of an upload, without what every answer has. */
export const said = ({ headers }: Pick<WireAnswer, 'headers'>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).filter(([name]) => /^(upload-|location|cache-control|content-type)/.test(name)),
  );
