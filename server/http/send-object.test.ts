import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { get, type ClientRequest, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import express, { type ErrorRequestHandler } from 'express';
import type { Storage } from '../storage/storage.ts';
import { sendObject } from './send-object.ts';

const SIZE = 64 * 1024 * 1024;

/** Storage with one object that is read so. */
const storageOf = (read: Storage['read']): Storage =>
  ({
    stat: () => Promise.resolve({ size: SIZE, etag: '"x"', modifiedAt: new Date(0) }),
    read,
  }) as unknown as Storage;

describe('sending an object', () => {
  let server: Server;
  let errors: unknown[];
  afterEach(() => new Promise((resolve) => server.close(resolve)));

  /** Asks for the object. */
  async function request(read: Storage['read']): Promise<ClientRequest> {
    errors = [];
    const note: ErrorRequestHandler = (error, _req, res, _next) => {
      errors.push(error);
      res.destroy();
    };
    const headers = { 'Content-Type': 'video/mp4', 'Cache-Control': 'public' };
    const app = express();
    app.get('/', (req, res) => sendObject(req, res, storageOf(read), 'key', headers));
    app.use(note);
    server = app.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const asked = get({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', agent: false });
    return asked.on('error', () => undefined);
  }

  /** Resolves when the answer has begun. */
  async function ask(source: Readable): Promise<IncomingMessage> {
    const asked = await request(() => Promise.resolve(source));
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    answer.on('error', () => undefined);
    return answer;
  }

  it('lets go of storage when the client goes, and calls that no error', async () => {
    const chunk = Buffer.alloc(64 * 1024);
    const source = new Readable({ read: () => void source.push(chunk) });
    const closed = new Promise((resolve) => source.once('close', resolve));
    const answer = await ask(source);
    answer.destroy();
    await closed;
    expect(source.destroyed).toBe(true);
    await new Promise((resolve) => setImmediate(resolve));
    expect(errors).toEqual([]);
  });

  it('takes a client that goes while storage is asked for no error, and lets go of what storage gives', async () => {
    let began = (): void => undefined;
    const begun = new Promise<void>((resolve) => (began = resolve));
    let give = (_source: Readable): void => undefined;
    const given = new Promise<Readable>((resolve) => (give = resolve));
    const asked = await request(async (_key, _range, signal) => {
      began();
      if (!signal!.aborted) await once(signal!, 'abort');
      const source = createReadStream(import.meta.filename, { signal });
      give(source);
      return source;
    });
    await begun;
    asked.destroy();
    const source = await given;
    if (!source.closed) await once(source, 'close');
    await new Promise((resolve) => setImmediate(resolve)); // an error that nobody hears would end the process by now
    expect(errors).toEqual([]);
  });

  it('cuts the connection when storage breaks off: half an object must not look whole', async () => {
    const source = new Readable({ read: () => undefined });
    source.push('half');
    const answer = await ask(source);
    answer.resume();
    const aborted = new Promise((resolve) => answer.once('close', resolve));
    source.destroy(new Error('connection to storage lost'));
    await aborted;
    expect(answer.complete).toBe(false);
    expect(errors).toEqual([expect.objectContaining({ message: 'connection to storage lost' })]);
  });
});
