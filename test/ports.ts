/** Ports for the servers that tests start. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Below those that systems give to outgoing connections (Linux: from 32,768 on): one of these could take the port of a server
 * that is about to start, or to start again. Above 10,080, which browsers refuse. Each of jest's workers has ports of its own.
 */
const FIRST = 11_000;
const EACH = 1_000;
const WORKERS = 9;
const offset = (Number(process.env.JEST_WORKER_ID ?? 0) % WORKERS) * EACH;
let next = randomInt(EACH);

/** A port nobody listens on right now, and that this process was not given for a long while. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + offset + (next++ % EACH);
    if (await isFree(port)) return port;
  }
}

/** Whether a server could listen there. */
export async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const outcome = new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => resolve(true));
  });
  const free = await outcome;
  server.close();
  if (free) await once(server, 'close');
  return free;
}
