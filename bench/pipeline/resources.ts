/** What Linux says a process and everything it ever started have used. */
import { cpuSeconds, memoryOf } from '../uploads/processes.ts';

const SAMPLE_MS = 500;

export interface Usage {
  /** Seconds. */
  wall: number;
  /** Seconds of all processors, with those of children that have ended. */
  cpu: number;
  /** MiB: the largest sum over the tree that was seen. */
  peak: number;
}

/** Watches a process tree until `end`, which must be called while the process lives (as a zombie at the least). */
export function watch(pid: number): { end(): Usage } {
  const started = performance.now();
  const before = cpuSeconds(pid, true);
  let peak = 0;
  const sample = (): void => void (peak = Math.max(peak, memoryOf(pid).now));
  const timer = setInterval(sample, SAMPLE_MS);
  return {
    end() {
      clearInterval(timer);
      sample();
      const wall = (performance.now() - started) / 1000;
      return { wall, cpu: cpuSeconds(pid, true) - before, peak: peak / 1024 ** 2 };
    },
  };
}
