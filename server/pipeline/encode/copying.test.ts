import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { JobError } from '../../jobs/job.ts';
import { decoderConfig, refuseUndecodable, Unfit } from './copying.ts';
import { ToolError, type ToolEnd } from '../ffmpeg/spawn.ts';
import type { StepContext } from '../step.ts';

/** Tries a piece with an FFmpeg that ends so. */
async function tried(end: () => Promise<{ stdout: string; log: string }>): Promise<unknown> {
  const scratch = await mkdtemp(join(tmpdir(), 'millrace-copying-'));
  const path = join(scratch, '00001.m4s');
  await writeFile(path, 'piece');
  const ctx = { scratch, signal: new AbortController().signal, ffmpeg: { encode: end } };
  try {
    return await refuseUndecodable(ctx as unknown as StepContext, Buffer.from('init'), [
      { path, duration: 2 },
    ]).catch((error: unknown) => error);
  } finally {
    await rm(scratch, { recursive: true });
  }
}
const ended = (end: ToolEnd, status: string) => () =>
  Promise.reject(new ToolError('ffmpeg', end, status, 'too many errors'));

describe('a picture that is to be taken over', () => {
  it('is unfit when the decoder complains or gives up', async () => {
    expect(
      await tried(() => Promise.resolve({ stdout: '', log: 'error while decoding MB 3 4' })),
    ).toBeInstanceOf(Unfit);
    expect(await tried(ended('exit', 'exit 69'))).toBeInstanceOf(Unfit);
  });
  it('is not judged when the decoder was killed', async () => {
    expect(await tried(ended('killed', 'SIGKILL'))).toMatchObject({ failure: { code: 'encode_killed' } });
    expect(await tried(ended('timeout', 'SIGKILL'))).toBeInstanceOf(JobError);
  });
  it('is fit when the decoder is silent', async () => {
    expect(await tried(() => Promise.resolve({ stdout: '', log: '' }))).toBeUndefined();
  });
  it.each([0, 4, 5, 7])('is unfit when its decoder configuration has %i bytes', (length) => {
    const box = (type: string, ...bodies: Buffer[]): Buffer => {
      const body = Buffer.concat(bodies);
      const header = Buffer.alloc(8);
      header.writeUInt32BE(8 + body.length);
      header.write(type, 4, 'latin1');
      return Buffer.concat([header, body]);
    };
    const entry = (config: Buffer): Buffer => {
      const description = box('stsd', Buffer.alloc(8), box('avc1', Buffer.alloc(78), box('avcC', config)));
      return box('moov', box('trak', box('mdia', box('minf', box('stbl', description)))));
    };
    expect(() => decoderConfig(entry(Buffer.alloc(length, 1)))).toThrow(Unfit);
    const whole = Buffer.from([1, 66, 0, 30, 0xff, 0xe1, 0, 2, 0x67, 9, 0]);
    expect(decoderConfig(entry(whole))).toEqual({ lengthBytes: 4, sps: Buffer.from([0x67, 9]) });
  });
});
