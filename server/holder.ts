/** Names of lease holders, and the one thing worth knowing about a foreign one: whether its process is dead for sure. */
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/** `host:pid:place:instance:number`, of which people read the beginning. */
export type Holder = string;

export interface HolderNames {
  next(): Holder;
  /** This instance made it. */
  isOurs(holder: Holder): boolean;
  /** No more names will be used: what is still in the database under one of them is dead. */
  retire(): void;
}

/** What the names of all holders of this host begin with: of no others it can be seen that they are dead. */
export const OF_THIS_HOST = `${hostname()}:`;

/** Instances of this process that are in use (tests run several). */
const living = new Set<string>();

/** Names for the leases of one engine, or of one worker. */
export function createHolderNames(): HolderNames {
  const instance = randomBytes(8).toString('hex');
  const prefix = `${OF_THIS_HOST}${process.pid}:${place()}:${instance}:`;
  let count = 0;
  living.add(instance);
  return {
    next: () => `${prefix}${++count}`,
    isOurs: (holder) => holder.startsWith(prefix),
    retire: () => void living.delete(instance),
  };
}

/**
 * True when the holder's process has ended: killed, its lease can be taken at once instead of waiting for the
 * lapse. False when it lives or nothing is known (another machine, a container of its own).
 */
export function isDead(holder: Holder): boolean {
  const [, pid, where, instance] = holder.split(':');
  if (where !== place() || !instance) return false;
  if (Number(pid) === process.pid) return !living.has(instance);
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

let known: string | undefined;

/** Where process ids mean the same as here: one boot of one machine and, on Linux, one pid namespace. */
function place(): string {
  return (known ??= createHash('sha256').update(findPlace()).digest('hex').slice(0, 16));
}

function findPlace(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return hostname(); // no Linux: no containers that share a host name but not their processes
  }
}
