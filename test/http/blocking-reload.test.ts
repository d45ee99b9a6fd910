/** Players that ask for the next segment's playlist while an output grows, whoever makes that segment. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { jest } from '@jest/globals';
import request from 'supertest';
import type { MediaRow } from '../../db/schema.ts';
import { transact } from '../../db/transaction.ts';
import type { HlsDetails } from '../../server/hls/model.ts';
import { addSegments, hlsOutputs, updateDetails } from '../../server/media/growing.ts';
import { DIALECTS } from '../databases.ts';
import { type Answer, codeOf, makeMedia, makeOutputs, openTestApp, streamOf, type TestApp } from './app.ts';

describe.each(DIALECTS)('blocking reload on %s', (dialect) => {
  let test: TestApp;
  let media: MediaRow;
  let address: string;
  beforeAll(async () => (test = await openTestApp(dialect)));
  afterAll(() => test.close());

  beforeEach(async () => {
    media = await makeMedia(test.ctx, { status: 'playable', visibility: 'public' });
    await makeOutputs(test.ctx, media);
    await change('growing');
    await grow('360p', 2);
    address = `/media/${media.id}/hls/${streamOf(media)}/360p/index.m3u8`;
  });

  const change = async (state: HlsDetails['state']): Promise<void> => {
    const [output] = await hlsOutputs(test.ctx.db, media.id);
    await transact(test.ctx.db, (trx) => updateDetails(trx, output!.id, { ...output!.details, state }));
  };
  /** Adds segments until there are so many. */
  const grow = (rendition: string, count: number): Promise<void> =>
    add(
      rendition,
      Array.from({ length: count }, (_, sequence) => sequence),
    );
  const add = (rendition: string, sequences: number[]): Promise<void> =>
    transact(test.ctx.db, (trx) =>
      addSegments(
        trx,
        streamOf(media),
        sequences.map((sequence) => ({
          ...{ rendition, sequence, uri: `${sequence}.m4s`, duration: 2, bytes: 1, keyFrames: [] },
        })),
      ),
    );
  const get = (query: string) => request(test.app).get(address + query);
  const segmentsIn = (text: string): number => text.split('#EXTINF').length - 1;
  /** An answer, and whether it is there yet. */
  function asked(query: string) {
    const state = { answered: false };
    const answer = get(query).then((response) => ((state.answered = true), response));
    return { state, answer };
  }
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

  it('is offered while an output grows, and not by what is complete', async () => {
    expect((await get('')).text).toContain('#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n');
    await change('complete');
    expect((await get('')).text).not.toContain('SERVER-CONTROL');
  });

  it('answers at once with what is there', async () => {
    for (const query of ['?_HLS_msn=1', '?_HLS_msn=2', '?_HLS_msn=2&_HLS_part=0'])
      expect(segmentsIn((await get(query)).text)).toBe(2);
  });

  it('answers when the segment is there, and not before', async () => {
    const third = asked('?_HLS_msn=3');
    const fourth = asked('?_HLS_msn=4&_HLS_part=0');
    await pause(500);
    await grow('a0', 9); // another rendition's
    await pause(500);
    expect([third.state.answered, fourth.state.answered]).toEqual([false, false]);
    await grow('360p', 3);
    expect(segmentsIn((await third.answer).text)).toBe(3);
    expect(fourth.state.answered).toBe(false);
    await grow('360p', 5);
    const { status, text, headers } = await fourth.answer;
    expect([status, segmentsIn(text)]).toEqual([200, 5]);
    expect(headers['cache-control']).toBe('public, no-cache');
  });

  it('counts the time it was held for by itself', async () => {
    const route = '/media/:id/hls/:output/:rendition/:file';
    const counted = async (what: 'count' | 'sum', of: string): Promise<number> => {
      const { text } = await request(test.app).get('/metrics').set(test.as.admin);
      const start = `millrace_http_request_duration_seconds_${what}{method="GET",route="${of}",status="200"} `;
      return Number(
        text
          .split('\n')
          .find((line) => line.startsWith(start))
          ?.slice(start.length) ?? 0,
      );
    };
    const look = async (): Promise<number[]> => [
      ...[await counted('count', route), await counted('count', `${route} (held)`)],
      await counted('sum', `${route} (held)`),
    ];
    await get('');
    const [usual, held, seconds] = (await look()) as [number, number, number];
    expect(usual).toBeGreaterThan(0);
    const third = asked('?_HLS_msn=3');
    await pause(700);
    await grow('360p', 3);
    await third.answer;
    const [usualNow, heldNow, secondsNow] = (await look()) as [number, number, number];
    expect([usualNow, heldNow]).toEqual([usual, held + 1]);
    expect(secondsNow - seconds).toBeGreaterThan(0.6);
  });

  it('waits for the segment that is missing, when parts end in another order', async () => {
    const third = asked('?_HLS_msn=3');
    const fourth = asked('?_HLS_msn=4');
    await add('360p', [3, 4]);
    await pause(700);
    expect([third.state.answered, fourth.state.answered]).toEqual([false, false]);
    await add('360p', [2]);
    for (const { answer } of [third, fourth]) expect(segmentsIn((await answer).text)).toBe(5);
  });

  it('answers with the end when there will be no more', async () => {
    const third = asked('?_HLS_msn=3');
    await pause(300);
    expect(third.state.answered).toBe(false);
    await change('complete');
    expect((await third.answer).text).toContain('#EXT-X-ENDLIST');
    // Of what is complete a player that has not noticed yet gets the end as well.
    expect((await get('?_HLS_msn=400')).text).toContain('#EXT-X-ENDLIST');
  });

  it('says so when the output is gone meanwhile', async () => {
    const third = asked('?_HLS_msn=3');
    await pause(300);
    await test.ctx.db.deleteFrom('output').where('id', '=', streamOf(media)).execute();
    expect((await third.answer).status).toBe(404);
  });

  it('answers with what there is before a player takes it for lost', async () => {
    const since = performance.now();
    const { status, text } = await get('?_HLS_msn=3');
    expect([status, segmentsIn(text)]).toEqual([200, 2]);
    expect(performance.now() - since).toBeGreaterThan(5_000);
    expect(performance.now() - since).toBeLessThan(10_000);
  });

  it.each([
    ['?_HLS_msn=5', 'too_far_ahead'],
    ['?_HLS_msn=99999999', 'too_far_ahead'],
    ['?_HLS_msn=-1', 'invalid_input'],
    ['?_HLS_msn=', 'invalid_input'],
    ['?_HLS_msn=3&_HLS_msn=4', 'invalid_input'],
    ['?_HLS_part=0', 'invalid_input'],
    ['?_HLS_msn=3&_HLS_part=x', 'invalid_input'],
  ])('refuses %s', async (query, code) => {
    const { status, body } = (await get(query)) as Answer;
    expect([status, codeOf(body)]).toEqual([400, code]);
  });

  it('does not go on looking for players that have left', async () => {
    const looks = jest.spyOn(test.ctx.db, 'selectFrom');
    const server: Server = test.app.listen(0);
    const { port } = server.address() as AddressInfo;
    const leaving = new AbortController();
    const left = fetch(`http://127.0.0.1:${port}${address}?_HLS_msn=3`, { signal: leaving.signal });
    await pause(600);
    leaving.abort();
    await expect(left).rejects.toThrow();
    await new Promise((resolve) => server.close(resolve));
    await pause(400);
    const before = looks.mock.calls.length;
    expect(before).toBeGreaterThan(4);
    await pause(600);
    expect(looks.mock.calls.length).toBe(before);
    looks.mockRestore();
  });
});
