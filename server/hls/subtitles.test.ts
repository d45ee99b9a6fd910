import HLS from 'hls-parser';
import { stringifyMultivariant } from './playlist.ts';
import { subtitlePlaylist, subtitleSegment, withSubtitles, type SubtitleRendition } from './subtitles.ts';

const playlist = stringifyMultivariant({
  audio: [],
  iframes: [],
  variants: [360, 180].map((height) => ({
    uri: `${height}/index.m3u8`,
    bandwidth: height * 1000,
    averageBandwidth: height * 900,
    codecs: ['avc1.64001f'],
    video: { width: height * 2, height, frameRate: 25 },
  })),
});
const track = (n: number, more: Partial<SubtitleRendition> = {}): SubtitleRendition => ({
  ...{ name: `Track ${n}`, language: 'de', isDefault: false, isForced: false, uri: `subtitles/${n}.m3u8` },
  ...more,
});

it('offers subtitles with every variant', () => {
  const text = withSubtitles(playlist, [
    track(1, { isForced: true, isDefault: true }),
    track(2, { isDefault: true, name: 'A "quoted"\nname' }),
    track(3, { isDefault: true }),
  ]);
  const parsed = HLS.parse(text);
  if (!parsed.isMasterPlaylist) throw new Error('not a multivariant playlist');
  expect(parsed.variants).toHaveLength(2);
  for (const { subtitles } of parsed.variants)
    expect(subtitles.map(({ name, isDefault, forced, uri }) => [name, isDefault, forced, uri])).toEqual([
      ['Track 1', false, true, 'subtitles/1.m3u8'],
      ['A  quoted  name', true, false, 'subtitles/2.m3u8'],
      ['Track 3', false, false, 'subtitles/3.m3u8'],
    ]);
});

it('changes nothing without any', () => {
  expect(withSubtitles(playlist, [])).toBe(playlist);
});

it('writes a playlist of one segment', () => {
  const parsed = HLS.parse(subtitlePlaylist('1.vtt', 12.5));
  if (parsed.isMasterPlaylist) throw new Error('not a media playlist');
  expect([parsed.targetDuration, parsed.endlist, parsed.segments.length]).toEqual([13, true, 1]);
  expect(parsed.segments[0]).toMatchObject({ uri: '1.vtt', duration: 12.5 });
});

it('says which time of the stream is time 0', () => {
  expect(subtitleSegment('WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nhi\n', 10)).toBe(
    'WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n\n00:00:01.000 --> 00:00:02.000\nhi\n',
  );
});
