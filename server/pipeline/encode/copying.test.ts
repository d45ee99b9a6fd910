import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { JobError } from '../../jobs/job.ts';
import { refuseUndecodable, Unfit } from './copying.ts';
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
});
