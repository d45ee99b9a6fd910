/** An FFmpeg that reads its sources at a given pace: so an output grows for as long as a test needs, on any machine. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface SlowFfmpeg {
  /** Settings of a server that runs it. The sandbox would not let it see a script in a temporary folder. */
  env: { FFMPEG_PATH: string; SANDBOX: 'off' };
  dispose(): Promise<void>;
}

/** `rate` is in seconds of the source for each second. */
export async function slowFfmpeg(rate: number): Promise<SlowFfmpeg> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-slow-'));
  const path = join(dir, 'ffmpeg');
  const script = [
    '#!/bin/bash',
    'args=()',
    `for arg in "$@"; do [ "$arg" = -i ] && args+=(-readrate ${rate}); args+=("$arg"); done`,
    'exec ffmpeg "${args[@]}"',
  ];
  await writeFile(path, `${script.join('\n')}\n`);
  // A server that runs as root gives FFmpeg another user.
  for (const each of [dir, path]) await chmod(each, 0o755);
  return {
    env: { FFMPEG_PATH: path, SANDBOX: 'off' },
    dispose: () => rm(dir, { recursive: true }),
  };
}
