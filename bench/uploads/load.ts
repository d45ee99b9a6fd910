/**
 * The client: a process of its own that costs as little as a client can. Raw sockets, one shared buffer, no parsing
 * but of the answer's head. Talks to its parent over IPC.
 */
import { once } from 'node:events';
import { randomFillSync } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Load {
  port: number;
  headers: Record<string, string>;
  connections: number;
  /** Bytes of each PATCH. */
  patchBytes: number;
  /** PATCHes that each connection sends one after the other, all to one upload. */
  patches: number;
}

export interface LoadResult {
  /** From the first PATCH's first byte to the last answer. */
  seconds: number;
  bytes: number;
  /** Milliseconds of every PATCH of the first connection, in order. */
  latencies: number[];
  /** PATCHes that were answered 409, 423 or 503 and gone on with. */
  resumed: number;
}

/** More than the kernel takes at once, so that each write is one call. */
const CHUNK = randomFillSync(Buffer.allocUnsafe(1024 * 1024));

/** What tells a client to ask where its upload stands, and to go on from there. */
const COME_BACK = /^HTTP\/1\.1 (409|423|503) /;

class Connection {
  #socket!: Socket;
  readonly #load: Load;
  #text = '';
  #heard: (() => void) | undefined;
  #failure: Error | undefined;
  path = '';
  /** Times that a PATCH had to be gone on with. */
  resumed = 0;

  constructor(load: Load) {
    this.#load = load;
  }

  async open(): Promise<this> {
    const socket = connect(this.#load.port, '127.0.0.1');
    await once(socket, 'connect');
    this.#socket = socket.setNoDelay();
    this.#failure = undefined;
    this.#text = '';
    const wake = (): void => this.#heard?.();
    const fail = (error: Error): void => {
      if (socket === this.#socket) this.#failure ??= error;
      wake();
    };
    socket.on('data', (chunk) => ((this.#text += chunk.toString('latin1')), wake()));
    socket.on('error', fail).on('close', () => fail(new Error('the server closed the connection')));
    return this;
  }

  /** Opens the upload. One byte more than is sent, so that no pipeline starts and all servers do the same. */
  async create(): Promise<void> {
    const { patchBytes, patches } = this.#load;
    this.#head('POST', '/files', {
      'Upload-Length': String(patchBytes * patches + 1),
      'Content-Length': '0',
    });
    const answer = await this.#answer();
    if (!answer.startsWith('HTTP/1.1 201')) throw new Error(`expected 201: ${answer}`);
    const location = /^location: *(.*?)\r$/im.exec(answer)?.[1] ?? '';
    this.path = new URL(location, 'http://localhost').pathname;
  }

  /** Sends a PATCH; on a machine that is too busy for it, in several attempts. */
  async patch(offset: number): Promise<void> {
    const end = offset + this.#load.patchBytes;
    for (let from = offset; from < end;) {
      const answer = await this.#send(from, end);
      if (COME_BACK.test(answer)) from = await this.#standing();
      else if (answer.startsWith('HTTP/1.1 204') && offsetIn(answer) === end) return;
      else throw new Error(`PATCH to ${end}: ${answer}`);
    }
  }

  end(): void {
    this.#socket.destroy();
  }

  async #send(from: number, end: number): Promise<string> {
    this.#head('PATCH', this.path, {
      'Upload-Offset': String(from),
      'Content-Type': 'application/offset+octet-stream',
      'Content-Length': String(end - from),
    });
    for (let rest = end - from; rest > 0; rest -= CHUNK.length) {
      const chunk = rest < CHUNK.length ? CHUNK.subarray(0, rest) : CHUNK;
      await new Promise<void>((resolve, reject) => {
        this.#socket.write(chunk, (error) => (error ? reject(error) : resolve()));
      });
    }
    return this.#answer();
  }

  /** Where the upload stands, over a new connection. */
  async #standing(): Promise<number> {
    this.resumed++;
    this.#socket.destroy();
    await sleep(1_000);
    await this.open();
    this.#head('HEAD', this.path, {});
    return offsetIn(await this.#answer());
  }

  #head(method: string, path: string, headers: Record<string, string>): void {
    const all = { Host: 'bench', 'Tus-Resumable': '1.0.0', ...this.#load.headers, ...headers };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    this.#socket.write(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
  }

  async #answer(): Promise<string> {
    while (!this.#text.includes('\r\n\r\n')) {
      if (this.#failure) throw this.#failure;
      await new Promise<void>((resolve) => (this.#heard = resolve));
    }
    const text = this.#text;
    this.#text = '';
    return text;
  }
}

const offsetIn = (answer: string): number => Number(/^upload-offset: *(\d+)/im.exec(answer)?.[1]);

async function run(load: Load): Promise<LoadResult> {
  const connections: Connection[] = [];
  try {
    for (let i = 0; i < load.connections; i++) {
      connections.push(await new Connection(load).open());
    }
    await Promise.all(connections.map((connection) => connection.create()));
    const latencies: number[] = [];
    const start = performance.now();
    await Promise.all(
      connections.map(async (connection, index) => {
        for (let i = 0; i < load.patches; i++) {
          const from = performance.now();
          await connection.patch(i * load.patchBytes);
          if (index === 0) latencies.push(performance.now() - from);
        }
      }),
    );
    const seconds = (performance.now() - start) / 1000;
    const resumed = connections.reduce((sum, connection) => sum + connection.resumed, 0);
    return { seconds, bytes: load.connections * load.patches * load.patchBytes, latencies, resumed };
  } finally {
    for (const connection of connections) connection.end();
  }
}

process.on('message', (load: Load) => {
  void run(load).then(
    (result) => process.send?.({ result }),
    (error: unknown) => process.send?.({ error: String(error) }),
  );
});
process.on('disconnect', () => process.exit(0));
