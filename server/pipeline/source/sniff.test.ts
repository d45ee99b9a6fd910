import { sniff } from './sniff.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

describe('the first bytes', () => {
  it.each([
    ['\x89PNG\r\n\x1a\n', 'a picture'],
    ['\0\0\0\x18ftypheic\0\0\0\0', 'a picture'],
    ['RIFF\x10\0\0\0WEBPVP8 ', 'a picture'],
    ['PK\x03\x04\x14\0', 'an archive'],
    ['%PDF-1.7\n', 'a document'],
    ['#EXTM3U\n', 'a playlist that points at other files'],
    ['\xef\xbb\xbf\n #EXTM3U\n\0', 'a playlist that points at other files'],
    ['ffconcat version 1.0\nfile a.mp4\0', 'a playlist that points at other files'],
    ['<?xml version="1.0"?>\n<!-- x -->\n<MPD>\0', 'a playlist that points at other files'],
    ['hello world', 'text'],
  ])('%j are %s', (head, what) => {
    expect(sniff(bytes(head))).toBe(what);
  });
  it.each([
    ['MP4', '\0\0\0\x18ftypisom\0\0\x02\0'],
    ['AVI', 'RIFF\x10\0\0\0AVI LIST'],
    ['Matroska', '\x1a\x45\xdf\xa3\x01\0'],
    ['MP3', 'ID3\x03\0\0\0\0'],
    ['MPEG-TS', 'G@\0\x10\0'],
    ['FLV', 'FLV\x01\x05\0'],
    ['ADTS', '\xff\xf1\x50\x80\0'],
    ['Ogg', 'OggS\0\x02'],
  ])('%s may be media', (_, head) => {
    expect(sniff(bytes(head))).toBeUndefined();
  });
});
