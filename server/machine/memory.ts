/**
 * How much memory can be had. Node counts what a container's files fill of the page cache as used (libuv,
 * `uv_get_available_memory`), though the system gives it up at once: after one large upload nothing would be left.
 */
import { freemem } from 'node:os';
import { controlGroups, type ControlGroup } from './control-groups.ts';

/**
 * Bytes that this process and its children may still take: what is free on the machine, or what the limit of a control group
 * leaves. `root`: where the system's files are.
 */
export function availableMemory(root = '/', ofMachine = freemem()): number {
  return Math.max(0, Math.min(ofMachine, ...controlGroups('memory', root).map(leftOf)));
}

const FILES = {
  1: { limit: 'memory.limit_in_bytes', usage: 'memory.usage_in_bytes', cache: 'total_' },
  2: { limit: 'memory.max', usage: 'memory.current', cache: '' },
} as const;

function leftOf({ version, read }: ControlGroup): number {
  const { limit, usage, cache } = FILES[version];
  const [most, used] = [limit, usage].map((file) => Number(read(file)));
  if (!most || Number.isNaN(used)) return Infinity; // there is none, or it is `max`
  const stat = read('memory.stat') ?? '';
  const cached = ['inactive_file', 'active_file'].map((name) =>
    Number(new RegExp(`^${cache}${name} (\\d+)$`, 'm').exec(stat)?.[1] ?? 0),
  );
  return most - (used ?? 0) + cached.reduce((sum, bytes) => sum + bytes, 0);
}
