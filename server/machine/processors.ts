/**
 * How many processors this process may use. A container's CPU quota (`docker run --cpus 2`, `limits.cpu` in Kubernetes) is
 * a share of time on all processors of the machine: Node below 24 doesn't see it, later ones not where it is less than one
 * (libuv issue 4146, Node issue 59200), and FFmpeg never.
 */
import { availableParallelism, cpus } from 'node:os';
import { controlGroups, type ControlGroup } from './control-groups.ts';

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
  const quota = Math.min(...controlGroups('cpu', root).map(quotaOf));
  return { count: Math.max(1, Math.min(seen, Math.floor(quota))), isLimited: quota < installed };
}

/** Microseconds of time in each period, by the period: in one file, or `max`; before that in two, or -1. */
function quotaOf({ version, read }: ControlGroup): number {
  const texts =
    version === 2
      ? (read('cpu.max') ?? '').split(' ')
      : ['cpu.cfs_quota_us', 'cpu.cfs_period_us'].map((file) => read(file));
  const [time = 0, period = 0] = texts.map(Number);
  return time > 0 && period > 0 ? time / period : Infinity;
}
