/** The rules of growing playlists notice what breaks them. */
import { EventRules } from './event-rules.ts';

const playlist = (
  segments: string[],
  { target = 6, first = 1, end = false, map = 'init.mp4', seconds = 2 } = {},
): string =>
  [
    ...['#EXTM3U', '#EXT-X-VERSION:7', `#EXT-X-TARGETDURATION:${target}`, `#EXT-X-MEDIA-SEQUENCE:${first}`],
    `#EXT-X-PLAYLIST-TYPE:${end ? 'VOD' : 'EVENT'}`,
    ...(end ? [] : ['#EXT-X-START:TIME-OFFSET=0,PRECISE=YES']),
    `#EXT-X-MAP:URI="${map}"`,
    ...segments.flatMap((uri) => [`#EXTINF:${seconds.toFixed(6)},`, uri]),
    ...(end ? ['#EXT-X-ENDLIST'] : []),
  ].join('\n');

function brokenBy(...texts: string[]): string[] {
  const rules = new EventRules();
  for (const text of texts) rules.look('v', text);
  return rules.broken;
}

it('takes a playlist that only appends, to its end, and tells what is new', () => {
  const rules = new EventRules();
  expect(rules.look('v', playlist(['1.m4s?token=a']))).toEqual(['1.m4s?token=a']);
  expect(rules.look('v', playlist(['1.m4s?token=b', '2.m4s']))).toEqual(['2.m4s']);
  expect(rules.look('v', playlist(['1.m4s', '2.m4s', '3.m4s'], { end: true }))).toEqual(['3.m4s']);
  expect([rules.broken, rules.hasEnded('v')]).toEqual([[], true]);
});

it.each([
  ['a segment that goes', [playlist(['1.m4s', '2.m4s']), playlist(['2.m4s'])]],
  ['a segment of another length', [playlist(['1.m4s']), playlist(['1.m4s'], { seconds: 2.1 })]],
  ['another target duration', [playlist(['1.m4s']), playlist(['1.m4s'], { target: 7 })]],
  ['another media sequence', [playlist(['1.m4s']), playlist(['1.m4s'], { first: 2 })]],
  ['another header', [playlist(['1.m4s']), playlist(['1.m4s'], { map: 'other.mp4' })]],
  ['more after the end', [playlist(['1.m4s'], { end: true }), playlist(['1.m4s', '2.m4s'], { end: true })]],
  ['no end after the end', [playlist(['1.m4s'], { end: true }), playlist(['1.m4s'])]],
])('notices %s', (_, texts) => {
  expect(brokenBy(...texts)).not.toEqual([]);
});
