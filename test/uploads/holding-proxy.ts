/** A proxy in front of PostgreSQL that holds a transaction at its end, so that a server can be killed in that very moment. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/**
 * commit: it is done, but the COMMIT has not arrived: nothing of it is true
 * answer: it is committed, but its server does not know
 */
export type Held = 'commit' | 'answer';

export interface HoldingProxy {
  /** DATABASE_URL through it. */
  url: string;
  /** Holds the next transaction that writes this state to an upload; resolves once it is held. */
  hold(state: string, at: Held): Promise<void>;
  close(): Promise<void>;
}

export async function startHoldingProxy(database: string): Promise<HoldingProxy> {
  const target = new URL(database);
  const sockets = new Set<Socket>();
  let order: { parameter: Buffer; at: Held; held: () => void } | undefined;

  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    let marked = false;
    const end = (): void => void (client.destroy(), upstream.destroy()); // so PostgreSQL rolls back
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', end).on('close', () => (sockets.delete(socket), end()));
    }
    upstream.on('data', (bytes) => client.write(bytes));
    client.on('data', (bytes: Buffer) => {
      marked ||= order !== undefined && bytes.includes('update upload ') && bytes.includes(order.parameter);
      if (!marked || !order || !/commit\0/i.test(bytes.toString('latin1'))) return void upstream.write(bytes);
      const { at, held } = order;
      order = undefined;
      if (at === 'commit') return held();
      upstream.removeAllListeners('data').once('data', held).resume();
      upstream.write(bytes);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');

  const url = new URL(database);
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: url.href,
    hold: (state, at) =>
      new Promise((held) => {
        // In a Bind message a value comes behind its length, in the text of a statement it does not.
        const length = Buffer.alloc(4);
        length.writeInt32BE(state.length);
        order = { parameter: Buffer.concat([length, Buffer.from(state)]), at, held };
      }),
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
