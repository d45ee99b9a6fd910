/** FFmpeg and ffprobe that note their process ids: which of them were started, and which still run. */
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface TracedFfmpeg {
  /** Settings of a server that runs them. The sandbox would not let it see scripts in a temporary folder. */
  env: { FFMPEG_PATH: string; FFPROBE_PATH: string; SANDBOX: 'off' };
  /** Process ids of what was started since the last call of `forget`. */
  started(): Promise<number[]>;
  /** Those that still run. */
  running(): Promise<number[]>;
  forget(): Promise<void>;
  dispose(): Promise<void>;
}

export async function tracedFfmpeg(): Promise<TracedFfmpeg> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-traced-'));
  const list = join(dir, 'started');
  const tool = async (name: string): Promise<string> => {
    const path = join(dir, name);
    // Its number as we see it: it may be in a namespace of its own.
    const note = existsSync('/proc/self/stat') ? 'read -r pid _ < /proc/self/stat' : 'pid=$$';
    await writeFile(path, `#!/bin/bash\n${note}\necho $pid >> ${list}\nexec ${name} "$@"\n`);
    await chmod(path, 0o755);
    return path;
  };
  const forget = (): Promise<void> => writeFile(list, '');
  await forget();
  // A server that runs as root gives FFmpeg another user.
  await chmod(dir, 0o755);
  await chmod(list, 0o666);
  const started = async (): Promise<number[]> =>
    (await readFile(list, 'utf8')).split('\n').filter(Boolean).map(Number);
  return {
    env: { FFMPEG_PATH: await tool('ffmpeg'), FFPROBE_PATH: await tool('ffprobe'), SANDBOX: 'off' },
    started,
    running: async () => (await started()).filter((pid) => existsSync(`/proc/${pid}`)),
    forget,
    dispose: () => rm(dir, { recursive: true }),
  };
}
