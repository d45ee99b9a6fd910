/** Names and languages of tracks for menus. Pure. */

export interface Label {
  label: string;
  /** BCP 47; `und` when nobody knows. */
  language: string;
}

/** The track's own name, or that of its language. They differ: playlists demand it (RFC 8216, 4.3.4.1.1). */
export function labels(
  tracks: readonly { title?: string | undefined; language?: string | undefined }[],
): Label[] {
  const taken = new Set<string>();
  return tracks.map(({ title, language }, n) => {
    const wanted = title || languageName(language) || `Track ${n + 1}`;
    const label = taken.has(wanted) ? `${wanted} (${n + 1})` : wanted;
    taken.add(label);
    return { label, language: language ?? 'und' };
  });
}

/** A language's name in itself, e.g. `Deutsch`. */
const languageName = (tag: string | undefined): string | undefined =>
  tag && new Intl.DisplayNames([tag], { type: 'language' }).of(tag);
