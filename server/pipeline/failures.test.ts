import { type JobError } from '../jobs/job.ts';
import { encodeFailure, refuse, stepFailure } from './failures.ts';
import { ToolError, type ToolEnd } from './ffmpeg/spawn.ts';

const tool = (end: ToolEnd, status: string, log = '') => new ToolError('ffmpeg', end, status, log);

// What ended a run of FFmpeg -> its code, and whether the first attempt is the last.
it.each<[string, ToolError, string, boolean]>([
  ['no progress', tool('stalled', 'SIGKILL'), 'encode_stalled', false],
  ['too long', tool('timeout', 'SIGKILL'), 'encode_timeout', false],
  ['out of memory, by the kernel', tool('killed', 'SIGKILL'), 'encode_killed', false],
  ['the same, behind bubblewrap', tool('exit', 'exit 137'), 'encode_killed', false],
  ['a crash', tool('killed', 'SIGSEGV'), 'encode_crashed', false],
  ['the same, behind bubblewrap', tool('exit', 'exit 139'), 'encode_crashed', false],
  ['an assertion', tool('exit', 'exit 134', 'Invalid data found'), 'encode_crashed', false],
  ['a file beyond the limit', tool('killed', 'SIGXFSZ'), 'output_too_large', true],
  ['a full disk', tool('exit', 'exit 1', 'x: No space left on device'), 'no_space', false],
  ['no memory', tool('exit', 'exit 1', 'Cannot allocate memory'), 'out_of_memory', false],
  [
    'a bomb',
    tool('exit', 'exit 1', 'Picture size 1x1 exceeds specified max pixel count 1'),
    'too_large_picture',
    true,
  ],
  ['garbage', tool('exit', 'exit 1', 'Invalid data found when processing input'), 'not_decodable', true],
  [
    'a sound that says of itself what can not be',
    tool(
      'exit',
      'exit 1',
      'Rematrix is needed between 28 channels and stereo\nError reinitializing filters!',
    ),
    'not_decodable',
    true,
  ],
  [
    'an unknown codec',
    tool('exit', 'exit 1', 'Decoder (codec x) not found for input'),
    'unsupported_codec',
    true,
  ],
  ['anything else', tool('exit', 'exit 1', 'what?'), 'encode_failed', false],
  ['no FFmpeg', tool('missing', 'exit 127'), 'ffmpeg_missing', false],
])('%s', (_, error, code, permanent) => {
  expect((encodeFailure(error) as JobError).failure).toMatchObject({ code, permanent });
});

it('lets a run that was told to stop pass', () => {
  const error = tool('aborted', 'SIGKILL');
  expect(encodeFailure(error)).toBe(error);
});

const withCode = (code: string) => Object.assign(new Error('x'), { code });
const named = (name: string) => Object.assign(new Error('x'), { name });
const answered = (httpStatusCode: number) => Object.assign(new Error('x'), { $metadata: { httpStatusCode } });

it.each<[string, Error, string]>([
  ['a full disk', withCode('ENOSPC'), 'no_space'],
  ['a quota', withCode('EDQUOT'), 'no_space'],
  ['a refused connection', withCode('ECONNREFUSED'), 'storage_unavailable'],
  ['a cut connection', withCode('ECONNRESET'), 'storage_unavailable'],
  ['silence', named('TimeoutError'), 'storage_unavailable'],
  ['503 of S3', answered(503), 'storage_unavailable'],
  ['429 of S3', answered(429), 'storage_unavailable'],
])('%s is tried again until attempts are used up', (_, error, code) => {
  for (const attempts of [1, 4])
    expect((stepFailure(error, attempts) as JobError).failure).toMatchObject({ code, permanent: false });
});

it('is not guessed what it can not know', () => {
  for (const error of [new TypeError('a bug'), answered(403), 'text', undefined])
    expect(stepFailure(error, 1)).toBe(error);
});

it('tries some failures twice, no more', () => {
  const stalled = encodeFailure(tool('stalled', 'SIGKILL'));
  expect(stepFailure(stalled, 1)).toBe(stalled);
  expect((stepFailure(stalled, 2) as JobError).failure).toMatchObject({
    code: 'encode_stalled',
    permanent: true,
  });
  const killed = encodeFailure(tool('killed', 'SIGKILL'));
  expect(stepFailure(killed, 4)).toBe(killed);
  const refused = refuse('not_media', 'No.');
  expect(stepFailure(refused, 1)).toBe(refused);
});
