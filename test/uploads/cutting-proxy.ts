/** A TCP proxy that cuts connections after a random number of bytes, as bad networks do. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { Random } from './random.ts';

export interface CuttingProxy {
  port: number;
  /** Connections cut so far. */
  cuts(): number;
  /** Whether connections are left alone from now on. */
  calm(calm: boolean): void;
  close(): Promise<void>;
}

/** Passes connections on to `target()`; each one ends by a reset after `min` to `max` bytes from the client. */
export async function startCuttingProxy(
  target: () => number,
  random: Random,
  { min, max }: { min: number; max: number },
): Promise<CuttingProxy> {
  let cuts = 0;
  let calm = false;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(target(), '127.0.0.1');
    let rest = random.between(min, max);
    const end = (): void => void (client.destroy(), upstream.destroy());
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', end).on('close', () => (sockets.delete(socket), end()));
    }
    upstream.on('data', (chunk) => client.write(chunk) || upstream.pause());
    client.on('drain', () => upstream.resume());
    upstream.on('drain', () => client.resume());
    client.on('data', (chunk: Buffer) => {
      const passed = calm ? chunk : chunk.subarray(0, rest);
      rest -= passed.length;
      if (!upstream.write(passed)) client.pause();
      if (rest > 0 || calm) return;
      cuts++;
      client.resetAndDestroy();
      upstream.end(); // what was passed on still arrives
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    cuts: () => cuts,
    calm: (wanted) => void (calm = wanted),
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
