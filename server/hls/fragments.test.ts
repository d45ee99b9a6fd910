import { readBoxes } from './boxes.ts';
import { firstSampleAlone, joinPieces, readFragments, timescaleOf } from './fragments.ts';

const u32 = (...values: number[]): Buffer => {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, n) => bytes.writeUInt32BE(value, n * 4));
  return bytes;
};
const u64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
};
const box = (type: string, ...bodies: Buffer[]): Buffer => {
  const body = Buffer.concat(bodies);
  return Buffer.concat([u32(body.length + 8), Buffer.from(type, 'latin1'), body]);
};
const full = (type: string, flags: number, ...bodies: Buffer[]): Buffer =>
  box(type, u32(flags), Buffer.concat(bodies));

const NON_SYNC = 0x10000;
const moof = (tfhd: Buffer, tfdt: Buffer, trun: Buffer): Buffer =>
  box('moof', full('mfhd', 0, u32(1)), box('traf', tfhd, tfdt, trun));
const plainTfhd = full('tfhd', 0x20000, u32(1));
const decodeTime = (value: number): Buffer => full('tfdt', 0, u32(value));
/** Two samples with size and flags of their own. */
const trunOf = (offset: number, sizes: number[], flags: number[]): Buffer =>
  full('trun', 0x1 | 0x200 | 0x400, u32(sizes.length, offset), ...sizes.map((s, n) => u32(s, flags[n] ?? 0)));

/** A fragment of two samples of 10 and 5 bytes. */
const piece = (time: number, flags = [0, NON_SYNC]): Buffer => {
  const length = moof(plainTfhd, decodeTime(time), trunOf(0, [10, 5], flags)).length;
  const head = moof(plainTfhd, decodeTime(time), trunOf(length + 8, [10, 5], flags));
  return Buffer.concat([head, box('mdat', Buffer.alloc(15, time))]);
};

describe('readFragments', () => {
  it('finds where the first sample lies and whether it stands alone', () => {
    const styp = box('styp', Buffer.from('msdh'));
    const bytes = Buffer.concat([styp, piece(100), piece(200, [NON_SYNC, NON_SYNC])]);
    const [first, second, ...more] = readFragments(bytes);
    expect(more).toEqual([]);
    expect(first).toMatchObject({ offset: styp.length, startsWithSync: true, decodeTime: 100 });
    expect(second).toMatchObject({ startsWithSync: false, decodeTime: 200 });
    const start = second!.offset + second!.sampleOffset;
    const sample = bytes.subarray(start, second!.offset + second!.firstSampleBytes);
    expect(sample).toEqual(Buffer.alloc(10, 200));
  });

  it('tells when it is shown, whatever the order of decoding', () => {
    // Three pictures of 10 ticks: the second in decoding is the last to be shown; offsets may be negative.
    const trun = full('trun', 0x1000000 | 0x1 | 0x100 | 0x800, u32(3, 0), u32(10, 5, 10, 15, 10, 0xfffffffb));
    expect(readFragments(moof(plainTfhd, decodeTime(100), trun))[0]?.shown).toEqual({ from: 105, to: 135 });
  });

  it('takes sizes and flags from where they are said: defaults, the first sample, a 64 bit time', () => {
    // base-data-offset, description index, default duration, size and flags.
    const tfhd = full('tfhd', 0x3b, u32(1), u64(0n), u32(1, 512, 77, NON_SYNC));
    const time = full('tfdt', 0x1000000, u64(2n ** 33n));
    const byDefault = moof(tfhd, time, full('trun', 0x1, u32(1, 300)));
    expect(readFragments(byDefault)).toEqual([
      {
        ...{ offset: 0, sampleOffset: 300, firstSampleBytes: 377, sampleSizes: [77], startsWithSync: false },
        ...{ decodeTime: 2 ** 33, shown: { from: 2 ** 33, to: 2 ** 33 + 512 } },
      },
    ]);
    // first-sample-flags say more than the defaults; a duration stands before the size.
    const byFirst = moof(tfhd, time, full('trun', 0x1 | 0x4 | 0x100 | 0x200, u32(1, 300, 0, 512, 9)));
    expect(readFragments(byFirst)).toMatchObject([{ firstSampleBytes: 309, startsWithSync: true }]);
  });

  it('reads what is whole when the bytes end within the media, or within a header', () => {
    const bytes = Buffer.concat([piece(1), piece(2)]);
    expect(readFragments(bytes.subarray(0, bytes.length - 3))).toHaveLength(2);
    expect(readFragments(bytes.subarray(0, piece(1).length + 20))).toHaveLength(1);
    expect(readFragments(Buffer.alloc(0))).toEqual([]);
  });

  it('refuses a moof without its tables, and boxes shorter than their header', () => {
    expect(() => readFragments(box('moof', box('traf', plainTfhd, decodeTime(0)), u32(8)))).toThrow(
      RangeError,
    );
    expect(() => readFragments(Buffer.concat([u32(4), Buffer.from('free'), Buffer.alloc(16)]))).toThrow(
      'box free is too short',
    );
  });
});

describe('joinPieces', () => {
  it('keeps fragments as they are, one styp, and no index', () => {
    const styp = box('styp', Buffer.from('msdhmsix'));
    const sidx = box('sidx', Buffer.alloc(32));
    const joined = joinPieces([1, 2, 3].map((n) => Buffer.concat([styp, sidx, piece(n)])));
    expect(joined).toEqual(Buffer.concat([styp, piece(1), piece(2), piece(3)]));
    expect(readFragments(joined).map((f) => f.decodeTime)).toEqual([1, 2, 3]);
  });
});

describe('timescaleOf', () => {
  const init = (mdhd: Buffer): Buffer => box('moov', box('trak', box('mdia', mdhd)));
  it('reads both versions of the header', () => {
    expect(timescaleOf(init(full('mdhd', 0, u32(0, 0, 90_000, 0, 0))))).toBe(90_000);
    expect(timescaleOf(init(full('mdhd', 0x1000000, u64(0n), u64(0n), u32(12_800, 0, 0, 0))))).toBe(12_800);
    expect(() => timescaleOf(box('moov'))).toThrow(RangeError);
  });
});

describe('firstSampleAlone', () => {
  const whole = piece(100);
  const [{ firstSampleBytes } = { firstSampleBytes: 0 }] = readFragments(whole);

  it('makes a fragment of one sample of what an I-frame playlist names', () => {
    const alone = firstSampleAlone(whole.subarray(0, firstSampleBytes));
    const [fragment, ...more] = readFragments(alone);
    expect(more).toEqual([]);
    expect(fragment).toMatchObject({ sampleSizes: [10], decodeTime: 100, firstSampleBytes: alone.length });
    expect(readBoxes(alone).map(({ type, body }) => [type, body.length])).toEqual([
      ['moof', expect.any(Number)],
      ['mdat', 10],
    ]);
  });

  it.each([
    ['more than its first sample', whole],
    ['less than its first sample', whole.subarray(0, firstSampleBytes - 1)],
    ['no fragment', Buffer.alloc(100)],
  ])('refuses %s', (_, bytes) => {
    expect(() => firstSampleAlone(bytes)).toThrow(RangeError);
  });
});
