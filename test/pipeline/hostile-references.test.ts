/** Files that name other files or addresses: none is followed, and nothing of them comes out. */
import { execa } from 'execa';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createFfmpeg } from '../../server/pipeline/ffmpeg/ffmpeg.ts';
import { ToolError } from '../../server/pipeline/ffmpeg/spawn.ts';
import { makeClip, makeMedia } from '../media.ts';
import type { Bench } from './harness.ts';
import { CANARY, setTrap, type Trap } from './trap.ts';

/** An end that was foreseen: not `internal`, and not still going on. */
const CLEAR = /^(?!internal$|processing$|playable$)[a-z_]+$/;

let trap: Trap;
let bench: Bench;
let dir: string;
let clip: string;
beforeAll(async () => {
  trap = await setTrap();
  ({ bench, dir } = trap);
  clip = await makeClip(1);
});
afterAll(async () => {
  await trap.close();
  await rm(join(clip, '..'), { recursive: true });
});
afterEach(() => expect(trap.asked).toEqual([]));

const canary = (): string => trap.canary;
const address = (): string => trap.address;
const write = (bytes: string | Buffer): Promise<string> => trap.write(bytes);
const endOf = (file: string, secret?: string): Promise<string> => trap.endOf(file, secret);

describe('text that names files or addresses', () => {
  const texts: [string, (target: string) => string][] = [
    ['an EDL', (t) => `# mpv EDL v0\n${t},0,1\n`],
    ['an SVG', (t) => `<svg xmlns="http://www.w3.org/2000/svg"><image href="${t}"/></svg>`],
    ['an ASX', (t) => `<asx version="3.0"><entry><ref href="${t}"/></entry></asx>`],
    ['an SMIL', (t) => `<smil><body><video src="${t}"/></body></smil>`],
    ['an RTSP session', (t) => `[reference]\nRef1=${t}\n`],
    ['a playlist behind a byte order mark', (t) => `\ufeff#EXTM3U\n#EXTINF:1,\n${t}\n`],
    ['a playlist behind a null', (t) => `\0#EXTM3U\n#EXTINF:1,\n${t}\n`],
    ['subtitles with commands', (t) => `1\n00:00:00,000 --> 00:00:01,000\n{\\fn${t}}\\N{${t}}\n`],
    [
      'an error page',
      (t) => `<!DOCTYPE html><html><head><script src="${t}"></script></head>502 Bad Gateway</html>`,
    ],
    ['a script behind a comment', (t) => `# a film\nffconcat version 1.0\nfile '${t}'\n`],
    [
      'a session (SDP) that ends with a null',
      (t) => `v=0\no=- 0 0 IN IP4 127.0.0.1\ns=${t}\nm=audio 5004 RTP/AVP 0\n\0`,
    ],
    ['one byte', () => 'x'],
    ['a flash film', (t) => `FWS\x05\0\0\0\0${t}`],
  ];
  it.each(texts)('%s is not media', async (_, text) => {
    for (const target of [canary(), address()])
      expect(await endOf(await write(text(target)))).toBe('not_media');
  });

  describe.each(['off', 'auto'] as const)('is not followed by FFmpeg alone, sandbox %s:', (sandbox) => {
    it.each(texts)('%s', async (_, text) => {
      const ffmpeg = createFfmpeg({ ...bench.ctx.config.encoding, sandbox });
      for (const target of [canary(), address()]) {
        const source = await write(text(target));
        await expect(ffmpeg.probe({ source, options: ['-show_streams'], wallMs: 20_000 })).rejects.toThrow(
          ToolError,
        );
      }
    });
  });
});

describe('containers that name other files', () => {
  /** A `dref` entry that says: the samples are in the file of this path (QuickTime's alias records, ISO's `url `). */
  async function withReference(kind: 'url ' | 'alis', target: string): Promise<Buffer> {
    const bytes = await readFile(clip);
    const at = bytes.indexOf('dref') - 4;
    const name = Buffer.from(`${target}\0`);
    const entry = Buffer.concat([Buffer.alloc(4), Buffer.from(kind), Buffer.alloc(4), name]); // flags 0: not this file
    entry.writeUInt32BE(entry.length);
    const old = bytes.readUInt32BE(at);
    const dref = Buffer.concat([bytes.subarray(at, at + 16), entry]);
    dref.writeUInt32BE(dref.length);
    const grown = dref.length - old;
    const result = Buffer.concat([bytes.subarray(0, at), dref, bytes.subarray(at + old)]);
    // Every box around it grows too.
    for (const box of ['moov', 'trak', 'mdia', 'minf', 'dinf']) {
      const start = bytes.indexOf(box) - 4;
      result.writeUInt32BE(result.readUInt32BE(start) + grown, start);
    }
    return result;
  }

  it.each(['url ', 'alis'] as const)(
    'an MP4 whose samples are elsewhere (%s) reads nothing there',
    async (kind) => {
      for (const target of [canary(), address()])
        expect(await endOf(await write(await withReference(kind, target)))).toMatch(CLEAR);
    },
  );

  it('attachments, chapters and tags of a Matroska file do not come out', async () => {
    const tags = ['title', 'comment', 'artist', 'location'].flatMap((tag) => [
      '-metadata',
      `${tag}=${CANARY}`,
    ]);
    const file = await makeMedia('a.mkv', [
      ...['-i', clip, '-c', 'copy', '-attach', canary(), '-metadata:s:t', 'mimetype=text/plain'],
      ...[...tags, '-metadata:s:v', `title=${CANARY}`],
    ]);
    expect(await endOf(file)).toBe('ready');
    await rm(join(file, '..'), { recursive: true });
  });

  it('the place of a recording does not come out', async () => {
    const place = '+52.5200+013.4050/';
    const file = await makeMedia('a.mov', ['-i', clip, '-c', 'copy', '-metadata', `location=${place}`]);
    expect(await endOf(file, place)).toBe('ready');
    await rm(join(file, '..'), { recursive: true });
  });
});

describe('headers that promise too much', () => {
  it('thousands of tracks end with a code', async () => {
    const bytes = await readFile(clip);
    const at = bytes.indexOf('trak') - 4;
    const trak = bytes.subarray(at, at + bytes.readUInt32BE(at));
    const many = Buffer.concat(Array.from({ length: 4_000 }, () => trak));
    const result = Buffer.concat([bytes.subarray(0, at), many, bytes.subarray(at)]);
    const moov = bytes.indexOf('moov') - 4;
    result.writeUInt32BE(result.readUInt32BE(moov) + many.length, moov);
    expect(await endOf(await write(result))).toMatch(CLEAR);
  });

  it.each(['stts', 'stsz', 'stco', 'ctts'])(
    'a table (%s) of four thousand million entries does too',
    async (box) => {
      const bytes = await readFile(clip);
      const at = bytes.indexOf(box);
      if (at > 0) bytes.writeUInt32BE(0xffff_fff0, at + (box === 'stsz' ? 12 : 8));
      expect(await endOf(await write(bytes))).toMatch(CLEAR);
    },
  );

  it('boxes in boxes in boxes do too', async () => {
    let nested: Buffer = Buffer.alloc(0);
    for (let depth = 0; depth < 5_000; depth++) {
      const head = Buffer.from('\0\0\0\0moov', 'latin1');
      head.writeUInt32BE(nested.length + 8);
      nested = Buffer.concat([head, nested]);
    }
    const ftyp = Buffer.from('\0\0\0\x10ftypisom\0\0\0\0', 'latin1');
    expect(await endOf(await write(Buffer.concat([ftyp, nested])))).toMatch(
      /^(not_media|truncated|no_streams)$/,
    );
  });
});

describe('what a decoder that was taken over would find', () => {
  it('is nothing but the source, behind bubblewrap', async () => {
    const ffmpeg = createFfmpeg({ ...bench.ctx.config.encoding, sandbox: 'auto' });
    if ((await ffmpeg.sandbox()) !== 'bwrap') return;
    const scratch = join(dir, 'scratch');
    await mkdir(scratch, { recursive: true });
    // `-i` and `-attach` of ours, as code inside could open them: the path exists outside only.
    for (const path of [canary(), '/etc/passwd', bench.ctx.config.database.file]) {
      const outputs = [
        { options: ['-c', 'copy', '-attach', path, '-metadata:s:t', 'mimetype=x/y'], path: 'a.mkv' },
      ];
      const run = ffmpeg.encode({ source: clip, scratch, outputs, wallMs: 20_000 });
      await expect(run).rejects.toMatchObject({
        log: expect.stringMatching(/Could not open|No such file/) as string,
      });
    }
    await execa('rm', ['-rf', scratch]);
  });
});
