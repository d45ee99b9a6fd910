/**
 * Holds a media playlist that grows against what RFC 8216 and its draft successor say of EVENT (4.3.3.5, 6.2.1): look by
 * look, to the VOD that it becomes. It reads with hls-parser: nothing of the code that wrote it.
 */
import HLS, { type types } from 'hls-parser';

/** All that may never change, and the segments, to which a playlist may only append. */
interface Seen {
  fixed: string;
  segments: string[];
  ended: boolean;
}

export class EventRules {
  /** Rules that were broken, in the order in which it was seen. */
  readonly broken: string[] = [];
  readonly #seen = new Map<string, Seen>();

  /** Takes the text of the playlist `name` as it is now. Returns the URIs that it did not name before. */
  look(name: string, text: string): string[] {
    const playlist = HLS.parse(text);
    if (playlist.isMasterPlaylist) throw new Error(`${name} is a multivariant playlist`);
    const must = (ok: boolean, rule: string): void => void (ok || this.broken.push(`${name}: ${rule}`));
    const before = this.#seen.get(name);
    const now = seenIn(playlist);
    must(playlist.playlistType === (now.ended ? 'VOD' : 'EVENT'), 'is EVENT, and VOD when it has ended');
    must(
      text.includes('#EXT-X-START:TIME-OFFSET=0') === !now.ended,
      'is played from its start while it grows',
    );
    if (before) {
      must(now.fixed === before.fixed, `${before.fixed} does not become ${now.fixed}`);
      must(!before.ended || now.ended, 'does not go on after its end');
      must(!before.ended || now.segments.length === before.segments.length, 'gets nothing after its end');
      before.segments.forEach((segment, n) =>
        must(now.segments[n] === segment, `segment ${n}, ${segment}, does not become ${now.segments[n]}`),
      );
    }
    this.#seen.set(name, now);
    return playlist.segments.slice(before?.segments.length ?? 0).map(({ uri }) => uri);
  }

  /** The playlist was seen with its EXT-X-ENDLIST. */
  hasEnded(name: string): boolean {
    return this.#seen.get(name)?.ended ?? false;
  }
}

/** Without the tokens of private media, which are made anew for each answer. */
const nameOf = (uri: string): string => uri.replace(/\?.*/, '');

const seenIn = ({
  targetDuration,
  mediaSequenceBase,
  segments,
  endlist,
  version,
}: types.MediaPlaylist): Seen => ({
  fixed: JSON.stringify({
    ...{ targetDuration, version, mediaSequence: mediaSequenceBase },
    map: segments[0] && nameOf(segments[0].map.uri),
  }),
  segments: segments.map(
    ({ uri, duration, discontinuity }) =>
      `${nameOf(uri)} of ${duration} s${discontinuity ? ', a break' : ''}`,
  ),
  ended: endlist,
});
