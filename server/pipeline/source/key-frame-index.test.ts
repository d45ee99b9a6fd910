import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { makeMedia } from '../../../test/media.ts';
import { longestKeyFrameInterval } from './key-frame-index.ts';

const picture = (keyint: number, rest: string[] = []): string[] => [
  ...['-f', 'lavfi', '-i', 'testsrc2=size=64x64:rate=10:duration=8'],
  ...['-c:v', 'libx264', '-preset', 'ultrafast', '-x264-params', `keyint=${keyint}:scenecut=0`, ...rest],
];

async function intervalOf(
  name: string,
  args: string[],
  change?: (file: Buffer) => void,
): Promise<number | undefined> {
  const path = await makeMedia(name, args);
  try {
    const bytes = await readFile(path);
    change?.(bytes);
    await writeFile(path, bytes);
    return await longestKeyFrameInterval(path);
  } finally {
    await rm(dirname(path), { recursive: true });
  }
}

it.each([
  ['key frames every 2 s', 'a.mp4', picture(20), 2],
  ['every 3 s, the last 2', 'a.mp4', picture(30, ['-movflags', '+faststart']), 3],
  ['one key frame', 'a.mov', picture(1000), 8],
  ['key frames alone, of which no list is written', 'a.mp4', picture(1), 0.1],
])('%s', async (_, name, args, seconds) => expect(await intervalOf(name, args)).toBeCloseTo(seconds, 3));

it.each([
  ['an index of fragments', 'a.mp4', picture(20, ['-movflags', '+frag_keyframe+empty_moov'])],
  ['another container', 'a.mkv', picture(20)],
  ['a sound', 'a.m4a', ['-f', 'lavfi', '-i', 'sine=duration=1', '-c:a', 'aac']],
])('%s says nothing', async (_, name, args) => expect(await intervalOf(name, args)).toBeUndefined());

it('a list that is longer than its box says nothing', async () => {
  const lie = (file: Buffer): void => void file.writeUInt32BE(0xffffffff, file.lastIndexOf('stss') + 8);
  expect(await intervalOf('a.mp4', picture(20), lie)).toBeUndefined();
});

it('an index that is full of boxes says nothing', async () => {
  const box = (type: string, body: Buffer): Buffer => {
    const head = Buffer.alloc(8);
    head.writeUInt32BE(8 + body.length);
    head.write(type, 4, 'latin1');
    return Buffer.concat([head, body]);
  };
  const many = Buffer.alloc(8 * 100_000, box('free', Buffer.alloc(0)));
  const path = join(await mkdtemp(join(tmpdir(), 'millrace-index-')), 'a.mp4');
  await writeFile(path, box('moov', many));
  expect(await longestKeyFrameInterval(path)).toBeUndefined();
  await rm(dirname(path), { recursive: true });
});

it('pictures at uneven times are counted by their times', async () => {
  const slowing = ['-vf', "setpts='if(lt(N,40),N,40+(N-40)*3)/10/TB'", '-fps_mode', 'vfr'];
  expect(await intervalOf('a.mp4', picture(20, slowing))).toBeCloseTo(6, 0);
});
