/**
 * How many processors this process may use. A container's CPU quota (`docker run --cpus 2`, `limits.cpu` in Kubernetes) is
 * a share of time on all processors of the machine: Node below 24 doesn't see it, later ones not where it is less than one
 * (libuv issue 4146, Node issue 59200), and FFmpeg never.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { dirname, join } from 'node:path';

export interface Processors {
  /** To keep busy: at least one. A share of another one is left to what else runs. */
  count: number;
  /** FFmpeg would count more of them, and start threads for all. */
  isLimited: boolean;
}

/** Of this process: by its affinity, and by the quotas of its control groups. `root`: where the system's files are. */
export function processors(
  root = '/',
  { seen = availableParallelism(), installed = cpus().length } = {},
): Processors {
  const quota = quotaOf(root);
  return { count: Math.max(1, Math.min(seen, Math.floor(quota))), isLimited: quota < installed };
}

/**
 * The lowest quota of a control group of this process or of one around it, in processors. Inside of a container the path of its
 * group may be the host's, which is not there: then its own files are at the top.
 */
function quotaOf(root: string): number {
  const groups = read(join(root, 'proc/self/cgroup')) ?? '';
  let lowest = Infinity;
  for (const line of groups.split('\n')) {
    const [, controllers = '', path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (path === undefined) continue;
    if (controllers === '')
      // Both versions at once: the second one has a folder of its own (systemd's "hybrid" hierarchy).
      for (const mount of ['sys/fs/cgroup', 'sys/fs/cgroup/unified'])
        lowest = Math.min(lowest, ...upwards(join(root, mount), path, quotaOfVersion2));
    else if (controllers.split(',').includes('cpu'))
      for (const mount of ['sys/fs/cgroup/cpu', 'sys/fs/cgroup/cpu,cpuacct'])
        lowest = Math.min(lowest, ...upwards(join(root, mount), path, quotaOfVersion1));
  }
  return lowest;
}

function upwards(mount: string, path: string, quota: (folder: string) => number): number[] {
  const quotas = [quota(mount)];
  for (let at = join('/', path); at !== '/'; at = dirname(at)) quotas.push(quota(join(mount, at)));
  return quotas;
}

/** `cpu.max`: microseconds of time in each period, or `max`, and the period (Linux, admin-guide/cgroup-v2). */
function quotaOfVersion2(folder: string): number {
  const [time, period] = (read(join(folder, 'cpu.max')) ?? '').split(' ').map(Number);
  return ratio(time, period);
}

/** The same in two files; -1: none (Linux, scheduler/sched-bwc). */
function quotaOfVersion1(folder: string): number {
  const [time, period] = ['cpu.cfs_quota_us', 'cpu.cfs_period_us'].map((file) =>
    Number(read(join(folder, file))),
  );
  return ratio(time, period);
}

const ratio = (time = 0, period = 0): number => (time > 0 && period > 0 ? time / period : Infinity);

/** Undefined: it is not there, or not to be read, as on systems without control groups, which have no quotas. */
function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
