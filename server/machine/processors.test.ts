import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { processors } from './processors.ts';

let root: string;
beforeEach(async () => (root = await mkdtemp(join(tmpdir(), 'millrace-processors-'))));
afterEach(() => rm(root, { recursive: true }));

/** A machine of 16 processors with these files. */
async function on(files: Record<string, string>, seen = 16): Promise<ReturnType<typeof processors>> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return processors(root, { seen, installed: 16 });
}

const VERSION_2 = { 'proc/self/cgroup': '0::/\n' };

describe('processors that a process may use', () => {
  it('are those of the machine without control groups, and without a quota', async () => {
    expect(await on({})).toEqual({ count: 16, isLimited: false });
    expect(await on({ ...VERSION_2, 'sys/fs/cgroup/cpu.max': 'max 100000\n' })).toEqual({
      ...{ count: 16, isLimited: false },
    });
  });

  it.each([
    ['200000 100000', { count: 2, isLimited: true }],
    ['150000 100000', { count: 1, isLimited: true }],
    ['25000 100000', { count: 1, isLimited: true }],
    ['125000 50000', { count: 2, isLimited: true }],
    ['1600000 100000', { count: 16, isLimited: false }],
    ['6400000 100000', { count: 16, isLimited: false }],
    ['nonsense', { count: 16, isLimited: false }],
  ])('with the quota %s of a container', async (quota, expected) => {
    expect(await on({ ...VERSION_2, 'sys/fs/cgroup/cpu.max': quota + '\n' })).toEqual(expected);
  });

  it('are fewer where the affinity is narrower, or where Node has seen the quota', async () => {
    const files = { ...VERSION_2, 'sys/fs/cgroup/cpu.max': '400000 100000\n' };
    expect(await on(files, 3)).toEqual({ count: 3, isLimited: true });
    expect(await on(files, 4)).toEqual({ count: 4, isLimited: true });
  });

  it('are those of the narrowest group around it', async () => {
    const slice = 'sys/fs/cgroup/system.slice';
    expect(
      await on({
        'proc/self/cgroup': '0::/system.slice/millrace.service\n',
        [`${slice}/cpu.max`]: '300000 100000\n',
        [`${slice}/millrace.service/cpu.max`]: '800000 100000\n',
      }),
    ).toEqual({ count: 3, isLimited: true });
  });

  it('are found by version 1, whose path in a container is that of the host', async () => {
    expect(
      await on({
        'proc/self/cgroup': '12:memory:/docker/1f\n4:cpu,cpuacct:/docker/1f\n0::/docker/1f\n',
        'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us': '500000\n',
        'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us': '100000\n',
      }),
    ).toEqual({ count: 5, isLimited: true });
    await rm(join(root, 'sys'), { recursive: true });
    expect(
      await on({
        'proc/self/cgroup': '1:cpu:/lab\n',
        'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
        'sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
        'sys/fs/cgroup/cpu/lab/cpu.cfs_quota_us': '700000\n',
        'sys/fs/cgroup/cpu/lab/cpu.cfs_period_us': '100000\n',
      }),
    ).toEqual({ count: 7, isLimited: true });
  });
});
