/** Addresses in answers: absolute when PUBLIC_URL is set, otherwise paths of this server. */
import { playbackToken } from '../auth/signed-urls.ts';
import type { Config } from '../config.ts';
import type { Context } from '../context.ts';

/** The path of PUBLIC_URL, below which browsers find everything here; empty at the root of a host. */
export const rootOf = ({ publicUrl }: Pick<Config, 'publicUrl'>): string =>
  publicUrl === undefined ? '' : new URL(publicUrl).pathname.replace(/\/+$/, '');

type Needs = Pick<Context, 'config' | 'secret'>;

export const urlOf = ({ config }: Needs, path: string): string => (config.publicUrl ?? '') + path;

/** Below `/media/{id}/`. Private media get a token that expires, so that any player can use the address. */
export function playbackUrl(ctx: Needs, media: { id: string; visibility: string }, path: string): string {
  const url = urlOf(ctx, `/media/${media.id}/${path}`);
  if (media.visibility !== 'private') return url;
  return `${url}?token=${playbackToken(ctx.secret, media.id, ctx.config.auth.playbackTtlMs)}`;
}
