import { headSize } from './head.ts';

const MB = 1024 * 1024;

function box(type: string, size: number, body: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(size);
  header.write(type, 4, 'latin1');
  return Buffer.concat([header, body, Buffer.alloc(Math.max(0, Math.min(size, 4096) - 8 - body.length))]);
}

it('reads an MP4 to behind its index', () => {
  const ftyp = box('ftyp', 32);
  expect(headSize(Buffer.concat([ftyp, box('free', 64)]))).toBe(96 + 16);
  expect(headSize(Buffer.concat([ftyp, box('moov', 4096)]))).toBe(32 + 4096 + 4 * MB);
  expect(headSize(Buffer.concat([ftyp, box('moov', 5 * MB)]))).toBe(32 + 5 * MB);
});

it('reads an MP4 in fragments to behind two of them', () => {
  const moov = box('moov', 512, box('mvex', 8));
  const start = Buffer.concat([box('ftyp', 32), moov, box('moof', 256)]);
  expect(headSize(start)).toBe(800 + 16);
  const first = Buffer.concat([start, box('mdat', 512), box('moof', 256)]);
  expect(headSize(Buffer.concat([first, box('mdat', 6 * MB)]))).toBe(first.length + 6 * MB);
  expect(headSize(Buffer.concat([first, box('mdat', 512)]))).toBe(4 * MB);
});

it.each([
  ['samples before the index', Buffer.concat([box('ftyp', 32), box('mdat', 4096)])],
  ['an index of absurd size', Buffer.concat([box('ftyp', 32), box('moov', 0xffffffff)])],
  ['a box that is smaller than its header', Buffer.concat([box('free', 4), Buffer.alloc(64)])],
  ['something else', Buffer.alloc(1024, 'text ')],
  ['zeros', Buffer.alloc(1024)],
])('does not begin with %s', (_, head) => expect(headSize(head)).toBeUndefined());

it('knows other containers by their first bytes', () => {
  const ts = Buffer.alloc(1024);
  for (let at = 0; at < ts.length; at += 188) ts[at] = 0x47;
  for (const head of [Buffer.from('1a45dfa3'.padEnd(64, '0'), 'hex'), Buffer.from('FLV\x01'.padEnd(32)), ts])
    expect(headSize(head)).toBe(4 * MB);
});
