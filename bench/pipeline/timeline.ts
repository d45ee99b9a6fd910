/** Job by job: when it was queued, started and ended, and the processor time of FFmpeg in it. Shows where a machine waits. */
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestServer } from '../../test/server.ts';

export interface Timeline {
  /** Settings of the servers and workers that are watched. */
  env: Record<string, string>;
  /** A line for each job of a media, in the order in which they started. */
  of(server: TestServer, mediaId: string): Promise<string[]>;
  dispose(): Promise<void>;
}

interface Job {
  id: string;
  task: string;
  mediaId: string;
  createdAt: string;
  startedAt: string | null;
  finishedAt: string | null;
}

/**
 * Runs FFmpeg and writes down what it used, beside the name of its folder: `{job}-{attempt}`. Its process id is no name for that:
 * in a namespace of its own each run has the same.
 */
const script = (program: string, log: string): string => `#!/bin/bash
${program} "$@"
code=$?
{ echo "\${PWD##*/}"; times; } > "$(mktemp "${log}/XXXXXXXXXX")"
exit $code
`;

/** Watches what is started with its settings. Processor time inside of a sandbox can't be seen, so there is none. */
export async function watchJobs(): Promise<Timeline> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-timeline-'));
  const log = await mkdtemp(join(folder, 'log-'));
  for (const dir of [folder, log]) await chmod(dir, 0o777); // a server that runs as root gives FFmpeg another user
  const path = join(folder, 'ffmpeg');
  await writeFile(path, script('ffmpeg', log), { mode: 0o755 });
  return {
    env: { FFMPEG_PATH: path, SANDBOX: 'off' },
    async of(server, mediaId) {
      const answer = await server.fetch(`/api/jobs?media=${mediaId}&limit=100`);
      const { items } = (await answer.json()) as { items: Job[] };
      return lines(items, await usedBy(log));
    },
    dispose: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Seconds of processor time by job. */
async function usedBy(log: string): Promise<Map<string, number>> {
  const used = new Map<string, number>();
  for (const name of await readdir(log)) {
    const [folder = '', , children = ''] = (await readFile(join(log, name), 'utf8')).split('\n');
    const job = folder.slice(0, folder.lastIndexOf('-'));
    const seconds = [...children.matchAll(/(\d+)m([\d.]+)s/g)].map(([, m, s]) => Number(m) * 60 + Number(s));
    used.set(
      job,
      seconds.reduce((sum, s) => sum + s, used.get(job) ?? 0),
    );
  }
  return used;
}

function lines(jobs: Job[], used: ReadonlyMap<string, number>): string[] {
  const began = Math.min(...jobs.map(({ createdAt }) => Date.parse(createdAt)));
  const at = (time: string | null): string =>
    time === null ? '-' : ((Date.parse(time) - began) / 1000).toFixed(2);
  const started = jobs.filter(({ startedAt }) => startedAt !== null);
  started.sort((a, b) => Date.parse(a.startedAt!) - Date.parse(b.startedAt!));
  const columns = ['job', 'queued', 'started', 'ended', 'FFmpeg CPU s'];
  const rows = started.map(({ id, task, createdAt, startedAt, finishedAt }) => [
    ...[task, at(createdAt), at(startedAt), at(finishedAt), (used.get(id) ?? 0).toFixed(2)],
  ]);
  return [columns, ...rows].map((row) => row.map((cell, n) => cell.padStart(n ? 13 : 11)).join(''));
}
