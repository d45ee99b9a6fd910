/** A player that follows the playlists of a stream while it grows, and holds them against the rules. */
import HLS from 'hls-parser';
import type { TestServer } from '../server.ts';
import { EventRules } from '../pipeline/event-rules.ts';

/** What a player that follows the playlists of a growing stream has seen of them. */
export interface Follower {
  /** Addresses of the media playlists. */
  playlists: string[];
  /** Names of segments by playlist. */
  seen: Map<string, string[]>;
  /** Reads every playlist once more. True when all have ended. */
  look(): Promise<boolean>;
}

/** Each look holds the playlists below a multivariant one against what was seen before and fetches what is new. */
export async function follow(server: TestServer, hls: string): Promise<Follower> {
  const url = new URL(hls, server.url).href;
  const multi = HLS.parse(await textOf(url));
  if (!multi.isMasterPlaylist) throw new Error('not a multivariant playlist');
  const uris = multi.variants.flatMap((v) => [v.uri, ...v.audio.map((a) => a.uri!)]);
  const playlists = [...new Set(uris)].map((uri) => new URL(uri, url).href);
  const seen = new Map(playlists.map((playlist): [string, string[]] => [playlist, []]));

  const rules = new EventRules();

  async function look(): Promise<boolean> {
    await Promise.all(
      playlists.map(async (playlist) => {
        const fresh = rules.look(playlist, await textOf(playlist));
        for (const uri of fresh) {
          const answer = await fetch(new URL(uri, playlist));
          expect([answer.status, (await answer.arrayBuffer()).byteLength > 0]).toEqual([200, true]);
        }
        seen.get(playlist)!.push(...fresh);
      }),
    );
    expect(rules.broken).toEqual([]);
    return playlists.every((playlist) => rules.hasEnded(playlist));
  }
  return { playlists, seen, look };
}

async function textOf(url: string): Promise<string> {
  const answer = await fetch(url);
  expect(answer.status).toBe(200);
  return answer.text();
}

/** Names without what their addresses are signed with. */
export const namesOf = (uris: readonly string[]): string[] => uris.map((uri) => uri.replace(/\?.*/, ''));
