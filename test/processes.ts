/** What runs on this machine, as /proc tells it. */
import { readdir, readFile } from 'node:fs/promises';

/** Numbers of the processes whose command line has the marker. */
export async function processesWith(marker: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of (await readdir('/proc')).filter((n) => /^\d+$/.test(n))) {
    const line = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
    if (line.includes(marker)) found.push(Number(name));
  }
  return found;
}
