/** A bad network between clients and servers: a TCP proxy that cuts, stalls, slows and loses answers. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { Random } from '../uploads/random.ts';
import type { NetworkPlan } from './plan.ts';

export interface Network {
  port: number;
  /** What happened to connections so far. */
  counts: { cut: number; stalled: number; slowed: number; 'answer lost': number };
  /** A new plan; connections that exist keep their fate. */
  turn(plan: NetworkPlan, random: Random, onBytes: (total: number) => void): void;
  /** Nothing more happens. */
  calm(): void;
  close(): Promise<void>;
}

type Fate = 'pass' | 'cut' | 'stall' | 'lost' | 'slow';

const CALM: NetworkPlan = { cuts: 0, stalls: 0, lost: 0, after: { min: 0, max: 0 }, slow: 0 };

/** Passes connections on to one of the ports, any of them each time. */
export async function startNetwork(ports: () => number[]): Promise<Network> {
  const counts = { cut: 0, stalled: 0, slowed: 0, 'answer lost': 0 };
  const sockets = new Set<Socket>();
  let plan = { ...CALM };
  let random: Random | undefined;
  let passed = 0;
  let onBytes: (total: number) => void = () => undefined;

  const server = createServer((client) => {
    const open = ports();
    const port = (random ? random.pick(open) : open[0]) ?? 0;
    carry(client, connect(port, '127.0.0.1'));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');

  /** What will happen to a new connection, as long as the plan has some of it left. */
  function drawFate(): { fate: Fate; after: number } {
    const left: Fate[] = [
      ...(plan.cuts > 0 ? (['cut', 'cut'] as const) : []),
      ...(plan.stalls > 0 ? (['stall'] as const) : []),
      ...(plan.lost > 0 ? (['lost'] as const) : []),
    ];
    if (!random) return { fate: 'pass', after: 0 };
    const after = random.between(plan.after.min, plan.after.max);
    if (random.chance(plan.slow)) {
      counts.slowed++;
      return { fate: 'slow', after };
    }
    return { fate: left.length && random.chance(0.7) ? random.pick(left) : 'pass', after };
  }

  function carry(client: Socket, upstream: Socket): void {
    let { fate, after: rest } = drawFate();
    const end = (): void => void (client.destroy(), upstream.destroy());
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', end).on('close', () => {
        sockets.delete(socket);
        end();
      });
    }
    client.on('drain', () => upstream.resume());
    upstream.on('drain', () => client.resume());
    upstream.on('data', (chunk) => {
      if (fate === 'lost' && rest <= 0 && plan.lost-- > 0) {
        counts['answer lost']++;
        return void client.resetAndDestroy();
      }
      if (!client.write(chunk)) upstream.pause();
    });
    client.on('data', (chunk: Buffer) => {
      rest -= chunk.length;
      if (rest <= 0 && fate === 'cut' && plan.cuts-- > 0) {
        counts.cut++;
        upstream.end(chunk.subarray(0, Math.max(0, chunk.length + rest))); // what was passed on still arrives
        return void client.resetAndDestroy();
      }
      pass(chunk);
      if (rest <= 0 && fate === 'stall' && plan.stalls-- > 0) {
        counts.stalled++;
        fate = 'pass';
        hold(400);
      } else if (fate === 'slow') hold(3);
    });

    function pass(chunk: Buffer): void {
      passed += chunk.length;
      if (!upstream.write(chunk)) client.pause();
      onBytes(passed);
    }
    function hold(ms: number): void {
      client.pause();
      setTimeout(() => client.resume(), ms).unref();
    }
  }

  return {
    port: (server.address() as AddressInfo).port,
    counts,
    turn(next, own, listener) {
      plan = { ...next };
      random = own;
      passed = 0;
      onBytes = listener;
    },
    calm: () => void (plan = { ...CALM }),
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
