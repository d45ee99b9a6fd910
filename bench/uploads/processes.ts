/** What Linux says about a process and all its children: processor time and memory. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

/** USER_HZ: 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** A process and its descendants. */
export function treeOf(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? fieldsOf(Number(name)) : undefined;
    if (stat) parents.set(Number(name), Number(stat[1]));
  }
  const tree = [pid];
  for (const parent of tree) for (const [child, of] of parents) if (of === parent) tree.push(child);
  return tree;
}

/** Seconds of processor time that a tree used so far; with `ended` also children that were waited for (proc(5): cutime, cstime). */
export function cpuSeconds(pid: number, ended = false): number {
  const ticks = treeOf(pid).map((one) => {
    const fields = fieldsOf(one);
    return [11, 12, ...(ended ? [13, 14] : [])].reduce((sum, n) => sum + Number(fields?.[n] ?? 0), 0);
  });
  return ticks.reduce((sum, n) => sum + n, 0) / TICKS_PER_SECOND;
}

/** Bytes of memory that a tree holds now, and its largest sum since `resetPeak` (an upper bound: peaks may differ in time). */
export function memoryOf(pid: number): { now: number; peak: number } {
  const memory = { now: 0, peak: 0 };
  for (const one of treeOf(pid)) {
    const status = readText(`/proc/${one}/status`);
    memory.now += kib(status, 'VmRSS');
    memory.peak += kib(status, 'VmHWM');
  }
  return memory;
}

/** Starts the measurement of peaks anew (Linux, proc(5): "5 … reset the peak resident set size"). */
export function resetPeak(pid: number): void {
  for (const one of treeOf(pid)) writeFileSync(`/proc/${one}/clear_refs`, '5');
}

/** The fields of /proc/PID/stat after the command: state, parent, … */
function fieldsOf(pid: number): string[] | undefined {
  const stat = readText(`/proc/${pid}/stat`);
  return stat ? stat.slice(stat.lastIndexOf(')') + 2).split(' ') : undefined;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // it ended meanwhile
  }
}

const kib = (status: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024;
