/**
 * An upload as URLSession of iOS makes it: the whole file in one POST, and after a broken connection HEAD and PATCH at the
 * address that the 104 named. It takes any final response for the end, good or bad.
 */
import { request as plain, type IncomingMessage } from 'node:http';
import { request as encrypted } from 'node:https';

export interface UrlSessionOptions {
  version: 3 | 5 | 6 | 8;
  headers: Record<string, string>;
  /** Certificate to trust, of an https server. */
  ca?: string;
  /** Sends no more than its first bytes before the 104 came, so that no cut can be earlier. */
  waits?: boolean;
}

export interface UrlSessionResult {
  status: number;
  /** Of the final response. */
  body: string;
  /** Address of the upload. */
  url: string;
  /** How often the upload was gone on with. */
  resumptions: number;
}

interface Attempt {
  /** Undefined: the connection broke. */
  response: IncomingMessage | undefined;
  body: string;
  location: string | undefined;
  /** The last offset of an interim response. */
  promised: number;
}

/** How much is sent before the 104, by a client that waits for it. */
const FIRST_BYTES = 64 * 1024;

/** The connection broke before the address was known: the app has to begin anew. */
export class NeverAnnouncedError extends Error {}

/** Uploads. Throws `NeverAnnouncedError`. */
export async function urlSessionUpload(
  endpoint: string,
  body: Buffer,
  { version, headers, ca, waits = false }: UrlSessionOptions,
): Promise<UrlSessionResult> {
  const complete: Record<string, string> =
    version === 3 ? { 'Upload-Incomplete': '?0' } : { 'Upload-Complete': '?1' };
  const common = { ...headers, 'Upload-Draft-Interop-Version': String(version) };
  const first = await attempt('POST', endpoint, { ...common, ...complete }, body, { version, ca, waits });
  const url = first.location;
  let { promised } = first;
  if (first.response)
    return {
      status: first.response.statusCode ?? 0,
      body: first.body,
      url: first.response.headers.location ?? '',
      resumptions: 0,
    };
  if (!url) throw new NeverAnnouncedError('the upload was never announced');
  for (let resumptions = 1; ; resumptions++) {
    const { response: stands } = await attempt('HEAD', url, common, Buffer.alloc(0), { version, ca });
    if (!stands) continue;
    const offset = Number(stands.headers['upload-offset']);
    if (stands.statusCode !== 204 || !(offset >= promised))
      throw new Error(`HEAD answered ${stands.statusCode} ${offset}, ${promised} bytes were promised`);
    if (stands.headers['upload-complete'] === '?1' || stands.headers['upload-incomplete'] === '?0')
      return { status: 200, body: '', url, resumptions };
    const type: Record<string, string> = version >= 6 ? { 'Content-Type': 'application/partial-upload' } : {};
    const fields = { ...common, ...complete, ...type, 'Upload-Offset': String(offset) };
    const next = await attempt('PATCH', url, fields, body.subarray(offset), { version, ca });
    if (next.response) return { status: next.response.statusCode ?? 0, body: next.body, url, resumptions };
    promised = Math.max(offset, next.promised);
  }
}

async function attempt(
  method: string,
  url: string,
  headers: Record<string, string>,
  body: Buffer,
  { version, ca, waits = false }: Omit<UrlSessionOptions, 'headers'>,
): Promise<Attempt> {
  const made: Attempt = { response: undefined, body: '', location: undefined, promised: 0 };
  const length = method === 'HEAD' ? {} : { 'Content-Length': String(body.length) };
  const request = url.startsWith('https:') ? encrypted : plain;
  const client = request(url, {
    ...(ca ? { ca } : {}),
    method,
    agent: false,
    headers: { ...headers, ...length },
  });
  client.on('information', ({ statusCode, headers: fields }) => {
    if (statusCode !== 104 || fields['upload-draft-interop-version'] !== String(version)) return;
    made.location ??= fields['location'];
    if (held) client.end(held);
    held = undefined;
    made.promised = Number(fields['upload-offset'] ?? made.promised);
  });
  client.on('response', (response) => {
    made.response = response;
    response.setEncoding('utf8').on('data', (text: string) => (made.body += text));
  });
  client.on('error', () => undefined);
  let held = waits ? body.subarray(FIRST_BYTES) : undefined;
  if (held) client.write(body.subarray(0, FIRST_BYTES));
  else client.end(body);
  await new Promise((resolve) => client.once('close', resolve));
  return made;
}
