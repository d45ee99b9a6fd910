import { chooseStreams, describeVideo, languageOf, parseProbed, type Probed } from './describe.ts';

const probed = (streams: object[], packets: object[] = []): Probed =>
  parseProbed(
    JSON.stringify({
      streams: streams.map((s, index) => ({ index, codec_name: 'h264', codec_type: 'video', ...s })),
      packets,
      format: { format_name: 'mov', duration: '10.5' },
    }),
  );
const picture = { width: 640, height: 360, r_frame_rate: '25/1', avg_frame_rate: '25/1' };
const sound = { codec_type: 'audio', codec_name: 'aac', channels: 2, sample_rate: '48000' };
const SPAN = { start: 0, end: 10 };
const videoOf = (stream: object) => describeVideo(probed([{ ...picture, ...stream }]).streams[0]!, SPAN);
const indexes = (p: Probed) => {
  const { video, audio, cover } = chooseStreams(p);
  return { video: video?.index, audio: audio.map((a) => a.index), cover: cover?.index };
};

describe('streams', () => {
  it('are chosen by their default mark, else by their order', () => {
    const second = { ...picture, disposition: { default: 1 } };
    expect(indexes(probed([picture, second, sound, { ...sound, disposition: { default: 1 } }]))).toEqual({
      video: 1,
      audio: [3, 2],
      cover: undefined,
    });
  });
  it('that are covers, empty, without size or of unknown codecs are left out', () => {
    const streams = [
      { ...picture, codec_name: 'mjpeg', disposition: { attached_pic: 1 } },
      { ...picture, nb_frames: '0' },
      { ...picture, width: 0 },
      { ...sound, codec_name: undefined },
      { ...sound, nb_frames: '0' },
      sound,
    ];
    expect(indexes(probed(streams))).toEqual({ video: undefined, audio: [5], cover: 0 });
  });
  it('that are encrypted are unusable', () => {
    const packet = { stream_index: 0, side_data_list: [{ side_data_type: 'Encryption info' }] };
    const { video, audio, unusable } = chooseStreams(probed([picture, sound], [packet]));
    expect([video, audio.length, unusable.map((s) => s.index)]).toEqual([undefined, 1, [0]]);
  });
});

describe('a video', () => {
  it.each([
    [-90, 90, 360, 640],
    [90, 270, 360, 640],
    [180, 180, 640, 360],
    [-180, 180, 640, 360],
    [0, 0, 640, 360],
  ])('that FFmpeg turns by %i is turned clockwise by %i', (rotation, clockwise, width, height) => {
    expect(videoOf({ side_data_list: [{ side_data_type: 'Display Matrix', rotation }] })).toMatchObject({
      ...{ rotation: clockwise, width, height, codedWidth: 640, codedHeight: 360 },
    });
  });
  it.each([
    [[1, 0, 0, 1], undefined],
    [[-1, 0, 0, -1], undefined],
    [[0, 1, -1, 0], undefined],
    [[1, 0, 0, -1], true],
    [[0, 1, 1, 0], true],
  ])('of the matrix %j is mirrored: %s', ([a, b, c, d], mirrored) => {
    const displaymatrix = `\n00000000: ${a} ${b} 0\n00000001: ${c} ${d} 0\n00000002: 0 0 1073741824\n`;
    const side_data_list = [{ side_data_type: 'Display Matrix', displaymatrix, rotation: 0 }];
    expect(videoOf({ side_data_list }).mirrored).toBe(mirrored);
  });
  it('has the width of its pixels', () => {
    expect(videoOf({ width: 720, height: 576, sample_aspect_ratio: '64:45' })).toMatchObject({ width: 1024 });
    expect(videoOf({ sample_aspect_ratio: '0:1' })).toMatchObject({ width: 640 });
    expect(videoOf({ sample_aspect_ratio: '1000:1' })).toMatchObject({ width: 640 });
  });
  it.each([
    ['30000/1001', '30000/1001', false, 29.97],
    ['25/1', '1253/50', false, 25],
    ['57600/1', '3628800/502589', true, 7.22],
    ['30/1', '0/0', true, 30],
  ])('of %s and %s on average is variable: %s', (r, avg, variableFrameRate, rate) => {
    const video = videoOf({ r_frame_rate: r, avg_frame_rate: avg });
    expect(video).toMatchObject({ variableFrameRate, frameRate: expect.closeTo(rate, 2) as number });
  });
  it('may be interlaced or of high dynamic range', () => {
    expect(videoOf({ field_order: 'tt', r_frame_rate: '50/1' })).toMatchObject({
      ...{ interlaced: true, variableFrameRate: false, frameRate: 25 },
    });
    expect(videoOf({ color_transfer: 'smpte2084' }).hdr).toBe(true);
    expect(videoOf({ color_transfer: 'bt709' }).hdr).toBe(false);
  });
});

describe('languages', () => {
  it.each([
    ['eng', 'en'],
    ['ger', 'de'],
    ['deu', 'de'],
    ['pt-BR', 'pt-BR'],
    ['und', undefined],
    ['', undefined],
    ['not a tag!', undefined],
  ])('%j is %s', (tag, expected) => {
    expect(languageOf(tag)).toBe(expected);
  });
});
