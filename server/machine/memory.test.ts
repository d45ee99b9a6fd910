import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { availableMemory } from './memory.ts';

const MB = 1024 ** 2;
let root: string;
beforeEach(async () => (root = await mkdtemp(join(tmpdir(), 'millrace-memory-'))));
afterEach(() => rm(root, { recursive: true }));

/** Megabytes on a machine with 8,000 of them free, and with these files. */
async function on(files: Record<string, string | number>): Promise<number> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), `${text}\n`);
  }
  return availableMemory(root, 8_000 * MB) / MB;
}

/** Files of a group of version 2, in megabytes. */
const group = (path: string, limit: number | 'max', used: number): Record<string, string | number> => ({
  [`sys/fs/cgroup${path}/memory.max`]: limit === 'max' ? limit : limit * MB,
  [`sys/fs/cgroup${path}/memory.current`]: used * MB,
});

/** What `memory.stat` says of version 2. */
const stat = (cached: number): string =>
  `anon 1\nfile 5\ninactive_anon 7\ninactive_file ${cached * MB}\nactive_file ${10 * MB}\n`;

describe('memory that can be had', () => {
  it('is what is free on the machine, without a limit', async () => {
    expect(await on({})).toBe(8_000);
    expect(await on({ 'proc/self/cgroup': '0::/', ...group('', 'max', 500) })).toBe(8_000);
    expect(await on(group('', 20_000, 500))).toBe(8_000);
  });

  it('is what a limit leaves, pages of files counted as free', async () => {
    expect(await on({ 'proc/self/cgroup': '0::/', ...group('', 2_000, 1_900) })).toBe(100);
    expect(await on({ 'sys/fs/cgroup/memory.stat': stat(1_500) })).toBe(1_610);
    expect(await on({ ...group('', 2_000, 2_100), 'sys/fs/cgroup/memory.stat': '' })).toBe(0);
  });

  it('is the least of what all groups around it leave', async () => {
    expect(
      await on({
        'proc/self/cgroup': '0::/millrace.slice/worker',
        ...group('/millrace.slice', 1_000, 900),
        ...group('/millrace.slice/worker', 3_000, 200),
      }),
    ).toBe(100);
  });

  it('is found by version 1, whose path in a container is that of the host', async () => {
    expect(
      await on({
        'proc/self/cgroup': '8:memory:/docker/1f\n3:cpu,cpuacct:/docker/1f\n0::/docker/1f',
        'sys/fs/cgroup/memory/memory.limit_in_bytes': 600 * MB,
        'sys/fs/cgroup/memory/memory.usage_in_bytes': 590 * MB,
        'sys/fs/cgroup/memory/memory.stat': `inactive_file 1\ntotal_inactive_file ${200 * MB}\ntotal_active_file 0\n`,
      }),
    ).toBe(210);
    expect(await on({ 'sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712' })).toBe(8_000);
  });
});
