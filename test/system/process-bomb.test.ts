/** A program that leaves its group and makes ever more of itself, in FFmpeg's place: what a decoder that was taken over may do. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { randomInt } from 'node:crypto';
import { loadConfig } from '../../server/config.ts';
import { detectConfinement } from '../../server/pipeline/ffmpeg/sandbox.ts';
import { makeMedia } from '../media.ts';
import { processesWith } from '../processes.ts';
import { eventually, startServer } from '../server.ts';
import { uploadFile } from '../tus.ts';
import { settled } from './flow.ts';

/** Not in /tmp: the sandbox has a folder of its own there. */
async function makeBomb(): Promise<{
  path: string;
  marker: string;
  defuse(): Promise<void>;
  dispose(): Promise<void>;
}> {
  const dir = await mkdtemp('/var/tmp/millrace-bomb-');
  const path = join(dir, 'ffmpeg');
  const seconds = 1_000_000 + randomInt(1_000_000);
  const script = [
    '#!/bin/bash',
    'case "$*" in -version) exec ffmpeg "$@";; esac',
    '[ -e "$(dirname "$0")/armed" ] || exec ffmpeg "$@"',
    // Each in a session of its own: a signal to the group reaches none of them.
    `while :; do setsid sleep ${seconds} > /dev/null 2>&1 < /dev/null & sleep 0.02; done`,
  ];
  await writeFile(path, `${script.join('\n')}\n`);
  await writeFile(join(dir, 'armed'), '');
  for (const each of [dir, path]) await chmod(each, 0o755);
  return {
    path,
    marker: `sleep\0${seconds}`,
    defuse: () => rm(join(dir, 'armed')),
    dispose: () => rm(dir, { recursive: true }),
  };
}

// Both at once: they wait most of their time.
it.concurrent.each(['off', 'auto'] as const)(
  'is ended as a whole, with SANDBOX=%s',
  async (sandbox) => {
    const { kind, together } = await detectConfinement({ ...loadConfig({}).encoding, sandbox });
    if (kind === 'none' && !together.length) return; // then there is nothing but its group to end it by
    const bomb = await makeBomb();
    // Not H.264: it is encoded at once.
    const film = await makeMedia('film.mkv', [
      ...['-f', 'lavfi', '-i', 'testsrc2=size=160x120:rate=25:duration=1', '-c:v', 'mpeg4'],
    ]);
    const server = await startServer({
      ...{ FFMPEG_PATH: bomb.path, SANDBOX: sandbox, STALL_TIMEOUT: '3s', LADDER: '144', EARLY: 'off' },
      ...{ STORYBOARD: 'off', WORKER_CONCURRENCY: '2' },
    });
    try {
      await chmod(server.dataDir, 0o755); // nobody can reach the source: then FFmpeg isn't root
      const id = await uploadFile(server, film);
      await eventually(async () => (await processesWith(bomb.marker)).length > 5);
      expect(await settled(server, id)).toMatchObject({
        status: 'failed',
        error: { code: 'encode_stalled' },
      });
      await eventually(async () => (await processesWith(bomb.marker)).length === 0);

      // The worker lives, and does its work.
      await bomb.defuse();
      expect((await server.fetch(`/api/media/${id}/retry`, { method: 'POST' })).status).toBe(202);
      expect(await settled(server, id)).toMatchObject({ status: 'ready' });
    } finally {
      await server.dispose();
      await bomb.dispose();
      await rm(dirname(film), { recursive: true });
    }
  },
  300_000,
);
