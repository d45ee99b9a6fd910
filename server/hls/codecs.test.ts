import { findBoxes, readBoxes } from './boxes.ts';
import { codecsOf } from './codecs.ts';

const box = (type: string, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  const header = Buffer.alloc(8);
  header.writeUInt32BE(8 + body.length);
  header.write(type, 4, 'latin1');
  return Buffer.concat([header, body]);
};
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const track = (entry: Buffer): Buffer =>
  box('trak', box('mdia', box('minf', box('stbl', box('stsd', hex('00000000 00000001'), entry)))));
const visual = (type: string, ...children: Buffer[]): Buffer => box(type, Buffer.alloc(78), ...children);
const sound = (...children: Buffer[]): Buffer => box('mp4a', Buffer.alloc(28), ...children);

describe('boxes', () => {
  it('are found at a path', () => {
    const bytes = box('moov', box('trak', box('tkhd', hex('01'))), box('trak', box('tkhd', hex('02'))));
    expect(findBoxes(bytes, 'moov/trak/tkhd').map((b) => b.body.toString('hex'))).toEqual(['01', '02']);
    expect(findBoxes(bytes, 'moov/mvex')).toEqual([]);
  });
  it('may have 64 bit sizes, and the last may go to the end', () => {
    const large = Buffer.concat([hex('00000001'), Buffer.from('mdat'), hex('0000000000000012 aabb')]);
    const last = Buffer.concat([hex('00000000'), Buffer.from('free'), hex('cc')]);
    expect(readBoxes(Buffer.concat([large, last])).map((b) => [b.type, b.body.toString('hex')])).toEqual([
      ['mdat', 'aabb'],
      ['free', 'cc'],
    ]);
  });
  it('that are cut off, or shorter than their header, are refused', () => {
    expect(() => readBoxes(box('moov', hex('aabbcc')).subarray(0, 9))).toThrow(RangeError);
    expect(() => readBoxes(hex('00000004 6d6f6f76'))).toThrow(RangeError);
  });
});

describe('CODECS', () => {
  it('come from avcC and esds', () => {
    const esds = box(
      'esds',
      hex('00000000 03808080 22 0001 00 04808080 14 40 15 000000 00000000 00000000 05808080 02 1190'),
    );
    const bytes = box(
      'moov',
      track(visual('avc1', box('pasp', Buffer.alloc(8)), box('avcC', hex('01 64 00 1f ff')))),
      track(sound(esds)),
    );
    expect(codecsOf(bytes)).toEqual(['avc1.64001f', 'mp4a.40.2']);
  });
  it('come from hvcC: Main at level 3.1, and Main 10 of the high tier with every constraint', () => {
    const main = hex('01 01 60000000 900000000000 5d');
    const high = hex('01 22 20000000 b00000000001 99');
    const named = [main, high].map((hvcC) => codecsOf(box('moov', track(visual('hvc1', box('hvcC', hvcC))))));
    expect(named).toEqual([['hvc1.1.6.L93.90'], ['hvc1.2.4.H153.B0.0.0.0.0.1']]);
  });
  it('come from av1C: Main at level 4.0 in 8 bits, and Professional of the high tier in 12', () => {
    const main = hex('81 08 0c 00');
    const high = hex('81 4d e0 00');
    const named = [main, high].map((av1C) => codecsOf(box('moov', track(visual('av01', box('av1C', av1C))))));
    expect(named).toEqual([['av01.0.08M.08'], ['av01.2.13H.12']]);
  });
  it('have no audio object type outside of MPEG-4', () => {
    const esds = box('esds', hex('00000000 03 11 0001 00 04 0d 6b 15 000000 00000000 00000000 06 01 02'));
    expect(codecsOf(box('moov', track(sound(esds))))).toEqual(['mp4a.6b']);
  });
  it('are not guessed', () => {
    expect(() => codecsOf(box('moov', track(visual('vp08'))))).toThrow(/vp08/);
    expect(() => codecsOf(box('moov', track(visual('avc1'))))).toThrow(/no avcC/);
  });
});
