/** Playlists: small texts, rewritten where their addresses need a token. */
import type { Request, Response } from 'express';
import type { ObjectHeaders } from './send-object.ts';
import { sendText } from './send-text.ts';

/** Answers GET and HEAD with a playlist. With a token every address in it carries the token on. */
export async function sendPlaylist(
  req: Request,
  res: Response,
  text: string,
  headers: ObjectHeaders,
  token: string | undefined,
): Promise<void> {
  await sendText(req, res, token === undefined ? text : withToken(text, token), headers);
}

/** Adds `?token=` to each address of a playlist: its lines that are no tags, and URI attributes (RFC 8216, section 4). */
export function withToken(playlist: string, token: string): string {
  const add = (uri: string): string => {
    if (/^[a-z][a-z0-9+.-]*:|^\/\//i.test(uri)) return uri; // elsewhere: the token is none of their business
    return `${uri}${uri.includes('?') ? '&' : '?'}token=${token}`;
  };
  return playlist
    .split('\n')
    .map((line) => {
      const [, uri = '', end = ''] = /^(.*?)(\s*)$/.exec(line) ?? [];
      if (uri === '') return line;
      if (!uri.startsWith('#')) return add(uri) + end;
      return line.replace(
        /([:,]URI=")([^"]*)"/g,
        (_, name: string, value: string) => `${name}${add(value)}"`,
      );
    })
    .join('\n');
}
