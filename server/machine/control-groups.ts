/**
 * The control groups of this process: what a container, or a service of systemd, may have of the machine (Linux,
 * admin-guide/cgroup-v1 and cgroup-v2).
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface ControlGroup {
  version: 1 | 2;
  /** Text of one of its files; undefined where there is none, or nobody may read it. */
  read(file: string): string | undefined;
}

/**
 * The groups of this process that a controller may limit, with all that are around them: each limit holds. None on systems
 * without them. Inside of a container the path of its group may be the host's, which is not there: then its own files are at
 * the top. `root`: where the system's files are.
 */
export function controlGroups(controller: 'cpu' | 'memory', root: string): ControlGroup[] {
  const lines = (read(join(root, 'proc/self/cgroup')) ?? '').split('\n');
  return lines.flatMap((line) => {
    const [, controllers = '', path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (path === undefined) return [];
    // With both versions at once the second has a folder of its own.
    if (!controllers) return upwards(root, ['sys/fs/cgroup', 'sys/fs/cgroup/unified'], path, 2);
    if (!controllers.split(',').includes(controller)) return [];
    return upwards(root, [`sys/fs/cgroup/${controller}`, `sys/fs/cgroup/${controllers}`], path, 1);
  });
}

function upwards(
  root: string,
  mounts: readonly string[],
  path: string,
  version: ControlGroup['version'],
): ControlGroup[] {
  const paths = ['/'];
  for (let at = join('/', path); at !== '/'; at = dirname(at)) paths.push(at);
  return [...new Set(mounts)].flatMap((mount) =>
    paths.map((at) => ({ version, read: (file) => read(join(root, mount, at, file)) })),
  );
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined; // what can't be read limits nothing that we could keep to
  }
}
