import { createServer, request, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Db } from '../../db/dialect.ts';
import { transact } from '../../db/transaction.ts';
import { DIALECTS, openTestDatabase, type TestDatabase } from '../../test/databases.ts';
import { emit, lastEventId } from './events.ts';
import { createFeed, type Feed } from './feed.ts';
import { streamEvents } from './sse.ts';

describe.each(DIALECTS)('server-sent events on %s', (dialect) => {
  let database: TestDatabase;
  let db: Db;
  let feed: Feed;
  let server: Server;
  let url: string;
  beforeEach(async () => {
    database = await openTestDatabase(dialect);
    db = database.db;
    feed = createFeed(db);
    server = createServer((req, res) => void streamEvents(req, res, feed, { owner: 'ann' }));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/events`;
  });
  afterEach(async () => {
    feed.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await database.close();
  });
  const publish = (n: number, pad = '') =>
    transact(db, async (trx) => {
      emit(trx, { type: 'media.updated', owner: 'ann', mediaId: 'm1', jobId: 'j1', payload: { n, pad } });
      emit(trx, { type: 'media.updated', owner: 'bob', mediaId: 'm2', payload: { n: -n } });
    });
  const open = (headers: Record<string, string> = {}, path = '') =>
    new Promise<IncomingMessage>((resolve) => request(url + path, { headers }, resolve).end());
  /** Reads until the text holds `mark`, or the end. */
  const readTo = async (res: IncomingMessage, mark?: string): Promise<string> => {
    let text = '';
    for await (const chunk of res.iterator({ destroyOnReturn: false })) {
      text += String(chunk);
      if (mark !== undefined && text.slice(-String(chunk).length - mark.length).includes(mark)) break;
    }
    return text;
  };
  const numbers = (text: string) => [...text.matchAll(/"n":(-?\d+)/g)].map((match) => Number(match[1]));

  it('streams with the headers that keep proxies from buffering', async () => {
    const res = await open();
    expect(res.statusCode).toBe(200);
    expect(res.headers).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    });
    expect(await readTo(res, '\n\n')).toBe('retry: 3000\n\n');
    await publish(1);
    const [id, type, data, end] = (await readTo(res, '\n\n')).split('\n');
    expect(id).toMatch(/^id: \d+$/);
    expect(type).toBe('event: media.updated');
    expect(JSON.parse(data!.replace(/^data: /, ''))).toEqual({
      type: 'media.updated',
      mediaId: 'm1',
      jobId: 'j1',
      createdAt: expect.stringMatching(/^\d{4}-.*Z$/) as unknown,
      payload: { n: 1, pad: '' },
    });
    expect(end).toBe('');
    res.destroy();
  });

  it.each(['header', 'query'])('replays after the last id it is told by %s', async (how) => {
    await publish(1);
    const id = String(await lastEventId(db));
    await publish(2);
    await publish(3);
    const res = how === 'header' ? await open({ 'Last-Event-ID': id }) : await open({}, `?lastEventId=${id}`);
    await readTo(res, 'retry').then((text) => expect(numbers(text)).not.toContain(1));
    await publish(4);
    const rest = await readTo(res, '"n":4');
    expect(numbers(rest).at(-1)).toBe(4);
    res.destroy();
    const again = await open({ 'Last-Event-ID': id });
    expect(numbers(await readTo(again, '"n":4'))).toEqual([2, 3, 4]);
    again.destroy();
  });

  it('takes a wrong last id for none', async () => {
    await publish(1);
    for (const id of ['abc', '-1', '1e3', '9'.repeat(40)]) {
      const res = await open({ 'Last-Event-ID': id });
      expect(await readTo(res, '\n\n')).toBe('retry: 3000\n\n');
      res.destroy();
    }
  });

  it('holds nothing back and loses nothing for a reader that pauses', async () => {
    const res = await open();
    await readTo(res, 'retry'); // and now the client reads no more
    const pad = 'x'.repeat(200_000);
    for (let n = 1; n <= 60; n++) await publish(n, pad); // 12 MB: more than sockets take
    expect(numbers(await readTo(res, '"n":60,'))).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
    res.destroy();
  });

  it('ends when the feed is closed', async () => {
    const res = await open();
    await readTo(res, 'retry');
    feed.close();
    expect(await readTo(res)).toBe('');
    expect(res.complete).toBe(true);
  });
});
