/**
 * `nice` between sessions. Where the kernel schedules by autogroups (sched(7): desktops, and services whose control group has
 * no processors of its own), `nice` only counts among the processes of one session. Each command is one by itself, so
 * without this it would get as much of the processors as all that answers requests.
 */
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** The kernel lets users other than root change one group in a tenth of a second. */
const TURN_MS = 110;
const TURNS = 20;

/** Makes the session of process `pid` yield to others as `nice` does. Does nothing where there are no autogroups. */
export async function yieldAsGroup(pid: number, nice: number): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) {
    try {
      return await writeFile(`/proc/${pid}/autogroup`, String(nice));
    } catch (error) {
      // Others: no such file, no such process any more, or one that we may not touch: then `nice` has to do.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
    }
    await sleep(TURN_MS * (1 + Math.random()));
  }
}
