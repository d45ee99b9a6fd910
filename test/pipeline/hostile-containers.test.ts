/** Containers that point elsewhere, are two things at once, carry what is no sound or picture, or lie about time. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { mediaPrefix } from '../../server/storage/storage.ts';
import { makeClip, makeMedia } from '../media.ts';
import { CANARY, setTrap, type Trap } from './trap.ts';

/** An end that was foreseen: `ready`, or a code that says something about the file. */
const FORESEEN =
  /^(ready|not_media|unsupported_format|no_streams|truncated|not_decodable|broken_timestamps|unsupported_codec|too_long|too_large_picture|output_too_large)$/;

let trap: Trap;
let mp4: Buffer;
const made: string[] = [];
beforeAll(async () => {
  trap = await setTrap({ MAX_DURATION: '1h' });
  const clip = await makeClip(1);
  made.push(clip);
  mp4 = await readFile(clip);
});
afterAll(async () => {
  await trap.close();
  for (const file of made) await rm(dirname(file), { recursive: true });
});
afterEach(() => expect(trap.asked).toEqual([]));

/** A file of the clip's streams, as FFmpeg makes it. */
async function make(name: string, args: string[]): Promise<string> {
  const file = await makeMedia(name, args);
  made.push(file);
  return file;
}

const endOf = async (bytes: Buffer, secret?: string): Promise<string> =>
  trap.endOf(await trap.write(bytes), secret);

const u32 = (n: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(n >>> 0);
  return bytes;
};

/** A box of ISO/IEC 14496-12 or QuickTime. */
const box = (type: string, ...payload: Buffer[]): Buffer => {
  const body = Buffer.concat(payload);
  return Buffer.concat([u32(body.length + 8), Buffer.from(type, 'latin1'), body]);
};

/** An element of EBML (RFC 8794) with a size of eight bytes. */
const element = (id: string, ...payload: Buffer[]): Buffer => {
  const body = Buffer.concat(payload);
  return Buffer.concat([Buffer.from(id, 'hex'), Buffer.from([1, 0, 0, 0]), u32(body.length), body]);
};

describe('containers that point elsewhere', () => {
  /** A Matroska file that could be streamed: nothing in it says where the rest is, so elements can be put in. */
  async function matroska(info: Buffer[], after: Buffer = Buffer.alloc(0)): Promise<Buffer> {
    const bytes = await readFile(await make('a.mkv', ['-i', made[0]!, '-c', 'copy', '-live', '1']));
    const at = bytes.indexOf(Buffer.from('1549a966', 'hex'));
    const { size, length } = vint(bytes, at + 4);
    const end = at + 4 + length + size;
    const old = bytes.subarray(at + 4 + length, end);
    return Buffer.concat([
      bytes.subarray(0, at),
      element('1549a966', old, ...info),
      after,
      bytes.subarray(end),
    ]);
  }
  function vint(bytes: Buffer, at: number): { size: number; length: number } {
    const length = Math.clz32(bytes[at]!) - 23;
    let size = bytes[at]! & (0xff >> length);
    for (let n = 1; n < length; n++) size = size * 256 + bytes[at + n]!;
    return { size, length };
  }
  const uid = (n: number): Buffer => Buffer.alloc(16, n);

  it.each(['file', 'address'])('a Matroska segment that goes on in another %s', async (kind) => {
    const name = Buffer.from(kind === 'file' ? trap.canary : trap.address);
    // SegmentUUID, PrevUUID, PrevFilename, NextUUID, NextFilename (RFC 9559, 5.1.2)
    const links = [
      ...[element('73a4', uid(1)), element('3cb923', uid(2)), element('3c83ab', name)],
      ...[element('3eb923', uid(3)), element('3e83bb', name)],
    ];
    // An ordered edition whose first chapter is another segment (5.1.7).
    const chapters = element(
      '1043a770',
      element(
        '45b9',
        element('45dd', Buffer.from([1])),
        element(
          'b6',
          ...[element('73c4', Buffer.from([1])), element('91', Buffer.from([0]))],
          ...[element('92', u32(0x3b9aca00)), element('6e67', uid(3)), element('6ebc', Buffer.from([1]))],
        ),
      ),
    );
    expect(await endOf(await matroska(links, chapters))).toBe('ready');
  });

  it.each(['url ', 'alis'])('a QuickTime reference movie (%s)', async (kind) => {
    for (const target of [trap.canary, trap.address]) {
      const path = Buffer.from(`${target}\0`);
      const reference = box('rdrf', u32(0), Buffer.from(kind), u32(path.length), path);
      const movie = box('moov', box('rmra', box('rmda', reference)));
      const ftyp = box('ftyp', Buffer.from('qt  '), u32(0x20050300), Buffer.from('qt  '));
      expect(await endOf(Buffer.concat([ftyp, movie]))).toMatch(/^(not_media|no_streams|truncated)$/);
      // In front of a film of its own it changes nothing.
      const at = mp4.indexOf('ftyp') - 4;
      const end = at + mp4.readUInt32BE(at);
      const both = Buffer.concat([mp4.subarray(0, end), box('free', movie), mp4.subarray(end)]);
      expect(await endOf(both)).toMatch(FORESEEN);
    }
  });

  it('an MXF whose essence is said to be elsewhere', async () => {
    const file = await make('a.mxf', [
      ...['-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=25:duration=1', '-c:v', 'mpeg2video'],
    ]);
    const bytes = await readFile(file);
    // A fill item of the header becomes a network locator (SMPTE 377-1, B.13) of the same length.
    const fill = bytes.indexOf(Buffer.from('060e2b34010101', 'hex'));
    const locator = Buffer.from('060e2b34025301010d01010101013200', 'hex');
    const url = Buffer.from(trap.address, 'utf16le').swap16();
    const tag = Buffer.alloc(4);
    tag.writeUInt16BE(0x4001);
    tag.writeUInt16BE(url.length, 2);
    locator.copy(bytes, fill);
    Buffer.concat([tag, url]).copy(bytes, fill + 20);
    expect(await endOf(bytes)).toMatch(FORESEEN);
  });

  it.each(['image/png', '-->'])('an ID3 picture that is an address (%s)', async (mime) => {
    const file = await make('a.mp3', ['-f', 'lavfi', '-i', 'sine=duration=1', '-id3v2_version', '0']);
    const text = (value: string): Buffer => Buffer.from(`${value}\0`, 'latin1');
    // "The use of linked files should however be used sparingly": ID3v2.3, 4.15; WXXX is a link as well.
    const frames = [
      ['APIC', Buffer.concat([Buffer.from([0]), text(mime), Buffer.from([3]), text(''), text(trap.address)])],
      ['WXXX', Buffer.concat([Buffer.from([0]), text('a'), text(trap.address)])],
    ].map(([id, body]) =>
      Buffer.concat([
        Buffer.from(id as string),
        u32((body as Buffer).length),
        Buffer.alloc(2),
        body as Buffer,
      ]),
    );
    const tag = Buffer.concat(frames);
    const size = [21, 14, 7, 0].map((shift) => (tag.length >> shift) & 0x7f);
    const head = Buffer.concat([Buffer.from('ID3\x03\0\0', 'latin1'), Buffer.from(size)]);
    expect(await endOf(Buffer.concat([head, tag, await readFile(file)]))).toBe('ready');
  });
});

describe('files that are two things', () => {
  const PAGE = '<html><script>alert(1)</script></html>';
  const head = (): number => mp4.readUInt32BE(mp4.indexOf('ftyp') - 4);

  it.each([
    [
      'a page in an MP4',
      () => [mp4.subarray(0, head()), box('free', Buffer.from(PAGE)), mp4.subarray(head())],
    ],
    ['an archive behind an MP4', () => [mp4, Buffer.from(`PK\x03\x04${PAGE}PK\x05\x06${'\0'.repeat(18)}`)]],
    ['a playlist behind an MP4', () => [mp4, Buffer.from(`\n#EXTM3U\n#EXTINF:1,\n${trap.address}\n`)]],
  ] as const)('%s: nothing of the other comes out', async (_, parts) => {
    const bytes = shifted(Buffer.concat(parts()));
    expect(await endOf(bytes, PAGE)).toBe('ready');
  });

  /** Adds to the chunk offsets what was put in before the samples. */
  function shifted(bytes: Buffer): Buffer {
    const grown = bytes.indexOf('mdat') - mp4.indexOf('mdat');
    const result = Buffer.from(bytes);
    for (let at = result.indexOf('stco'); at > 0; at = result.indexOf('stco', at + 4))
      for (let n = 0; n < result.readUInt32BE(at + 8); n++) {
        const entry = at + 12 + 4 * n;
        result.writeUInt32BE(result.readUInt32BE(entry) + grown, entry);
      }
    return result;
  }

  it.each([
    ['a playlist whose first line is a box', () => Buffer.from(`#EXTM3U\n#EXTINF:1,\n${trap.address}\n`)],
    ['an archive', () => Buffer.from('PK\x03\x04\n\0\0\0\0\0')],
    ['a page', () => Buffer.from(PAGE)],
    ['a picture', () => Buffer.from('GIF89a\x01\0\x01\0\0\0\0;', 'latin1')],
  ])('%s in front of an MP4 is refused', async (_, front) => {
    expect(await endOf(Buffer.concat([front(), mp4]))).toMatch(/^(not_media|truncated)$/);
  });

  it('neither name nor type of an upload decide anything', async () => {
    const id = await trap.bench.upload(await trap.write(mp4));
    await trap.bench.ctx.db
      .updateTable('media')
      .set({ filename: 'list.m3u8', filetype: 'application/vnd.apple.mpegurl' })
      .where('id', '=', id)
      .execute();
    await trap.bench.drain();
    expect((await trap.bench.media(id)).status).toBe('ready');
  });
});

describe('what is carried along', () => {
  it('subtitles with commands, scripts and paths become plain text', async () => {
    const evil = `<script>alert(1)</script><img src=${trap.address} onerror=alert(1)>{\\fn${trap.canary}}x --> y`;
    const ass = [
      '[Script Info]',
      'ScriptType: v4.00+',
      '[V4+ Styles]',
      'Format: Name, Fontname, Fontsize',
      `Style: Default,${trap.canary},20`,
      '[Fonts]',
      `fontname: ${trap.canary}`,
      '[Events]',
      'Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text',
      `Dialogue: 0,0:00:00.10,0:00:00.90,Default,,0,0,0,,${evil}`,
      '',
    ].join('\n');
    const vtt = [
      `WEBVTT\n\nSTYLE\n::cue { background: url(${trap.address}) }\n`,
      `NOTE ${CANARY}\n`,
      `1\n00:00:00.100 --> 00:00:00.900 region:${CANARY}\n<c.${CANARY}>${evil.replace('-->', '')}</c>\n`,
    ].join('\n');
    await writeFile(join(trap.dir, 'a.ass'), ass);
    await writeFile(join(trap.dir, 'a.vtt'), vtt);
    const file = await make('a.mkv', [
      ...['-i', made[0]!, '-i', join(trap.dir, 'a.ass'), '-i', join(trap.dir, 'a.vtt')],
      ...['-map', '0', '-map', '1', '-map', '2', '-c', 'copy'],
    ]);
    const { bench } = trap;
    const id = await bench.upload(file);
    await bench.drain();
    expect((await bench.media(id)).status).toBe('ready');
    let tracks = 0;
    for await (const { key } of bench.storage.list(mediaPrefix(id))) {
      if (!key.endsWith('.vtt')) continue;
      tracks++;
      const text = await readFile(bench.storage.pathOf(key), 'utf8');
      expect(text).not.toMatch(/<(?!\/?[biu]>)|STYLE|NOTE|region:/);
      const arrows = text.split('\n').filter((line) => line.includes('-->'));
      expect(arrows).toEqual(arrows.filter((line) => /^[\d:.]+ --> [\d:.]+$/.test(line)));
    }
    expect(tracks).toBeGreaterThan(0); // one that holds nothing that is text is left out
  });

  it('a cover of 16,000 x 16,000 pixels and a drawing that names an address', async () => {
    const png = await make('a.png', [
      ...['-f', 'lavfi', '-i', 'color=black:size=16000x16000:rate=1:duration=1,format=monob'],
      ...['-frames:v', '1'],
    ]);
    const svg = join(trap.dir, 'a.svg');
    await writeFile(svg, `<svg xmlns="http://www.w3.org/2000/svg"><image href="${trap.address}"/></svg>`);
    const sound = ['-f', 'lavfi', '-i', 'sine=duration=1'];
    const cover = await make('a.m4a', [
      ...[...sound, '-i', png, '-map', '0', '-map', '1', '-c:v', 'copy', '-c:a', 'aac'],
      ...['-disposition:v', 'attached_pic'],
    ]);
    expect(await trap.endOf(cover)).toMatch(/^(ready|too_large_picture)$/);
    const drawing = await make('b.mka', [
      ...[...sound, '-attach', svg, '-metadata:s:t', 'mimetype=image/svg+xml'],
    ]);
    expect(await trap.endOf(drawing)).toBe('ready');
  });

  it('thousands of chapters and a megabyte of tags', async () => {
    const list = join(trap.dir, 'chapters.txt');
    const chapters = Array.from(
      { length: 5_000 },
      (_, n) => `[CHAPTER]\nTIMEBASE=1/10000\nSTART=${n}\nEND=${n + 1}\ntitle=${CANARY}`,
    );
    await writeFile(list, [`;FFMETADATA1\ncomment=${CANARY.repeat(30_000)}`, ...chapters].join('\n'));
    for (const name of ['a.mp4', 'a.mkv']) {
      const file = await make(name, [
        '-i',
        made[0]!,
        '-f',
        'ffmetadata',
        '-i',
        list,
        '-map',
        '0',
        '-c',
        'copy',
        ...['-map_metadata', '1', '-map_chapters', '1'],
      ]);
      expect(await trap.endOf(file)).toBe('ready');
    }
  });
});

describe('clocks that lie', () => {
  /** Writes a number at an offset behind the name of a box, in each of them. */
  const patched = (type: string, offset: number, value: number): Buffer => {
    const bytes = Buffer.from(mp4);
    let found = 0;
    for (let at = bytes.indexOf(type); at > 0; at = bytes.indexOf(type, at + 4), found++)
      bytes.writeUInt32BE(value >>> 0, at + offset);
    expect(found).toBeGreaterThan(0);
    return bytes;
  };
  it.each([
    ['a media time base of zero', 'mdhd', 16, 0],
    ['a negative one', 'mdhd', 16, -1],
    ['a movie time base of zero', 'mvhd', 16, 0],
    ['a duration beyond all time', 'mdhd', 20, 0xffff_fffe],
    ['samples of four thousand million ticks', 'stts', 16, 0xffff_ffff],
    ['an edit that begins beyond the end', 'elst', 16, 0x7fff_ffff],
    ['an edit of no time', 'elst', 12, 0],
  ])('%s', async (_, type, offset, value) => {
    expect(await endOf(patched(type, offset, value))).toMatch(FORESEEN);
  });

  it.each([
    ['a time base of zero', '2ad7b1', Buffer.alloc(3)],
    ['the largest time base', '2ad7b1', Buffer.alloc(3, 0xff)],
  ])('Matroska: %s', async (_, id, value) => {
    const bytes = await readFile(await make('a.mkv', ['-i', made[0]!, '-c', 'copy']));
    const at = bytes.indexOf(Buffer.from(id, 'hex'));
    expect(bytes[at + 3]).toBe(0x83);
    value.copy(bytes, at + 4);
    expect(await endOf(bytes)).toMatch(FORESEEN);
  });

  it('Matroska: clusters at the end of time', async () => {
    const bytes = await readFile(
      await make('a.mkv', ['-i', made[0]!, '-c', 'copy', '-cluster_time_limit', '200']),
    );
    // The last cluster's timestamp, however long it is, becomes the largest that fits.
    const cluster = bytes.lastIndexOf(Buffer.from('1f43b675', 'hex'));
    const at = bytes.indexOf(0xe7, cluster + 4);
    bytes.fill(0xff, at + 2, at + 2 + (bytes[at + 1]! & 0x7f));
    expect(await endOf(bytes)).toMatch(FORESEEN);
  });

  it('AVI: rates of nothing per nothing', async () => {
    const bytes = await readFile(
      await make('a.avi', ['-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=25:duration=1', '-c:v', 'mpeg4']),
    );
    const at = bytes.indexOf('strh') + 8;
    bytes.fill(0, at + 20, at + 28);
    expect(await endOf(bytes)).toMatch(FORESEEN);
  });

  it('MPEG-TS: a clock that wraps around and one that runs backwards', async () => {
    const source = ['-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=25:duration=2', '-c:v', 'libx264'];
    const late = await make('a.ts', [...source, '-output_ts_offset', '95442.7']); // 2^33 / 90 kHz = 95443.7 s
    expect(await trap.endOf(late)).toBe('ready');
    const early = await make('b.ts', [...source]);
    const backwards = Buffer.concat([await readFile(late), await readFile(early)]);
    expect(await endOf(backwards)).toMatch(FORESEEN);
  });
});

it('the next media is encoded as ever', async () => {
  expect(await endOf(mp4)).toBe('ready');
});
