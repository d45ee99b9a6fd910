import { parse, type types } from 'hls-parser';
import { stringifyMedia, stringifyMultivariant } from './playlist.ts';

describe('media playlists', () => {
  const segments = [
    { uri: '00001.m4s', duration: 6.006 },
    { uri: '00002.m4s', duration: 1.5 },
  ];
  it('are read back as they were meant', () => {
    const text = stringifyMedia({ map: 'init.mp4', segments, targetDuration: 6 });
    const read = parse(text) as types.MediaPlaylist;
    expect(read).toMatchObject({ targetDuration: 6, playlistType: 'VOD', endlist: true, version: 7 });
    expect(read.segments.map(({ uri, duration }) => ({ uri, duration }))).toEqual(segments);
    expect(read.segments[0]?.map?.uri).toBe('init.mp4');
  });
  it('raise the target duration for a longer segment', () => {
    const text = stringifyMedia({ map: 'i', segments: [{ uri: 'a', duration: 7.5 }], targetDuration: 6 });
    expect(text).toContain('#EXT-X-TARGETDURATION:8\n');
  });
});

describe('multivariant playlists', () => {
  it('are read back as they were meant', () => {
    const read = parse(
      stringifyMultivariant({
        variants: [
          {
            ...{ uri: 'v720/index.m3u8', bandwidth: 2_000_000, averageBandwidth: 1_500_000, audio: 'audio' },
            codecs: ['avc1.64001f', 'mp4a.40.2'],
            video: { width: 1280, height: 720, frameRate: 30_000 / 1001 },
          },
        ],
        iframes: [],
        audio: [
          {
            group: 'audio',
            name: 'Deutsch',
            language: 'de',
            channels: 2,
            isDefault: true,
            uri: 'a0/index.m3u8',
          },
        ],
      }),
    ) as types.MasterPlaylist;
    expect(read.independentSegments).toBe(true);
    expect(read.variants[0]).toMatchObject({
      ...{ uri: 'v720/index.m3u8', bandwidth: 2_000_000, averageBandwidth: 1_500_000, frameRate: 29.97 },
      ...{ codecs: 'avc1.64001f,mp4a.40.2', resolution: { width: 1280, height: 720 } },
    });
    expect(read.variants[0]?.audio[0]).toMatchObject({ language: 'de', name: 'Deutsch', isDefault: true });
  });

  it("can't be broken by a name from a file", () => {
    const name = 'a"\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://evil/';
    const audio = [{ group: 'audio', name, language: 'und', channels: 2, isDefault: true, uri: 'a0' }];
    const lines = stringifyMultivariant({ variants: [], audio, iframes: [] }).split('\n');
    expect(lines.filter((line) => line.startsWith('#EXT-X-STREAM-INF') || line.startsWith('http'))).toEqual(
      [],
    );
    expect(lines[3]).toContain('NAME="a  #EXT-X-STREAM-INF:BANDWIDTH=1 http://evil/"');
  });
});
