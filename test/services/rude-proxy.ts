/** A TCP proxy in front of a service, and the ways in which networks lose it. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/**
 * pass:    everything arrives
 * swallow: connections stay open, new ones too, but nothing arrives any more, as behind a firewall that forgot them
 * refuse:  connections are reset, and new ones as well
 */
export type Mode = 'pass' | 'swallow' | 'refuse';

export interface RudeProxy {
  /** Takes the place of the service's own address. */
  url: string;
  /** For connections that are there and those that come; what was swallowed never arrives. */
  mode: Mode;
  /** Resets the connections that are there, in the middle of whatever they are at. */
  cut(): void;
  /** Called with everything that a client sends, before it is passed on or swallowed. */
  onSent: (bytes: Buffer) => void;
  close(): Promise<void>;
}

export async function startRudeProxy(service: string): Promise<RudeProxy> {
  const target = new URL(service);
  const clients = new Set<Socket>();
  const upstreams = new Set<Socket>();
  const server = createServer((client) => {
    if (proxy.mode === 'refuse') return void client.resetAndDestroy();
    const upstream = connect(Number(target.port), target.hostname);
    let forgotten = false;
    const passes = (): boolean => !(forgotten ||= proxy.mode === 'swallow');
    clients.add(client);
    upstreams.add(upstream);
    client.on('data', (bytes: Buffer) => {
      proxy.onSent(bytes);
      if (passes()) upstream.write(bytes);
    });
    upstream.on('data', (bytes) => void (passes() && client.write(bytes)));
    client
      .on('error', () => undefined)
      .on('close', () => {
        clients.delete(client);
        if (passes()) upstream.destroy();
      });
    upstream
      .on('error', () => undefined)
      .on('close', () => {
        upstreams.delete(upstream);
        if (passes()) client.destroy();
      });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');

  const url = new URL(service);
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const proxy: RudeProxy = {
    url: url.href,
    mode: 'pass',
    onSent: () => undefined,
    cut: () => clients.forEach((client) => client.resetAndDestroy()),
    async close() {
      for (const socket of [...clients, ...upstreams]) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}
