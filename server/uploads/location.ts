/** Addresses of uploads: `/files` makes one, `/files/{id}` is one. */
import type { TLSSocket } from 'node:tls';
import type { IncomingMessage } from 'node:http';
import { isId } from '../ids.ts';

export const UPLOADS_PATH = '/files';

/** What Express adds to a request. `protocol` and `host` obey its `trust proxy` setting. */
export interface AddressedRequest {
  originalUrl?: string;
  protocol?: string;
  host?: string;
}

/** The id in a request's path, `''` for the collection, undefined for an address we don't have. */
export function uploadIdOf(request: IncomingMessage & AddressedRequest): string | undefined {
  const [path = ''] = (request.originalUrl ?? request.url ?? '').split('?');
  const [, id, ...rest] = path.slice(UPLOADS_PATH.length).replace(/\/$/, '').split('/');
  if (!path.startsWith(UPLOADS_PATH) || rest.length) return undefined;
  if (id === undefined || id === '') return '';
  return isId(id) ? id : undefined;
}

/** The absolute URL of an upload: below PUBLIC_URL when it is set, else where the client sent its request. */
export function locationOf(
  request: IncomingMessage & AddressedRequest,
  id: string,
  publicUrl: string | undefined,
): string {
  const secure = (request.socket as Partial<TLSSocket>).encrypted === true;
  const protocol = request.protocol ?? (secure ? 'https' : 'http');
  const host = request.host ?? request.headers.host ?? 'localhost';
  return `${publicUrl ?? `${protocol}://${host}`}${UPLOADS_PATH}/${id}`;
}
