/** Random histories of one upload by the IETF's draft, against a model. SEED replays one: it is in the name of the test. */
import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { idOf, offsetOf, sha256, tus, useEngine } from './harness.ts';
import { chunked, wire, type Fields, type WireAnswer, type WireOptions } from './wire.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const rounds = Number(process.env['ROUNDS'] ?? 30);
const FILE = randomBytes(20_000);

interface Body {
  /** Where it begins, relative to where the upload stands. */
  shift: number;
  size: number;
  complete: boolean;
  chunked: boolean;
  /** Upload-Length, relative to where the body ends. */
  length: number | undefined;
}

type Action =
  ({ do: 'append'; version: number } & Body) | ({ do: 'cut'; after: number } & Body) | { do: 'look' };

/** What is known of an upload. */
interface Model {
  offset: number;
  length: number | undefined;
  state: 'receiving' | 'complete' | 'gone';
}

const body = {
  shift: fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.integer({ min: -3, max: 3 })),
  size: fc.integer({ min: 0, max: 2000 }),
  complete: fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, fc.constant(true)),
  chunked: fc.boolean(),
  length: fc.option(fc.oneof(fc.constant(0), fc.integer({ min: -2, max: 2000 })), {
    nil: undefined,
    freq: 4,
  }),
};
const version = fc.constantFrom(3, 5, 6, 7, 8);
const actions: fc.Arbitrary<Action[]> = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ do: fc.constant('append' as const), version, ...body }) },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('cut' as const),
        after: fc.integer({ min: 0, max: 999 }),
        ...body,
      }),
    },
    fc.record({ do: fc.constant('look' as const) }),
  ),
  { minLength: 1, maxLength: 9 },
);

describe(`any history (SEED=${seed})`, () => {
  const stage = useEngine();

  it('is answered as the model says, and ends in the bytes that were sent', async () => {
    const history = fc.asyncProperty(actions, async (list) => {
      const created = await ask(8, 'POST', stage.engine.url, { 'Upload-Complete': '?0' });
      const url = created.headers['location'] ?? '';
      const model: Model = { offset: 0, length: undefined, state: 'receiving' };
      for (const action of list) {
        if (action.do === 'append') await append(url, model, action);
        else if (action.do === 'cut' && model.state === 'receiving') await cut(url, model, action);
        await look(url, model);
      }
      await end(url, model);
    });
    await fc.assert(history, { seed, numRuns: rounds });
  });

  function ask(
    interop: number,
    method: string,
    url: string,
    fields: Fields,
    content: Buffer = Buffer.alloc(0),
    options?: WireOptions,
  ) {
    const own = { Authorization: 'Bearer alice', 'Upload-Draft-Interop-Version': String(interop) };
    const type = method === 'PATCH' ? { 'Content-Type': 'application/partial-upload' } : {};
    const size = fields['Transfer-Encoding'] ? {} : { 'Content-Length': String(content.length) };
    return wire(method, url, { ...own, ...type, ...size, ...fields }, content, options);
  }

  function patch(
    interop: number,
    url: string,
    at: number,
    wish: Body,
    options?: WireOptions,
  ): Promise<WireAnswer> {
    const content = FILE.subarray(at, at + wish.size);
    const flag =
      interop === 3
        ? { 'Upload-Incomplete': wish.complete ? '?0' : '?1' }
        : { 'Upload-Complete': wish.complete ? '?1' : '?0' };
    const claim = claimOf(at, wish);
    return ask(
      interop,
      'PATCH',
      url,
      {
        ...{ 'Upload-Offset': String(at), ...flag },
        ...(claim === undefined ? {} : { 'Upload-Length': String(claim) }),
        ...(wish.chunked ? { 'Transfer-Encoding': 'chunked' } : {}),
      },
      wish.chunked ? chunked(...(content.length ? [content] : [])) : content,
      options,
    );
  }

  const claimOf = (at: number, { size, length }: Body): number | undefined =>
    length === undefined ? undefined : Math.max(0, at + size + length);

  async function append(url: string, model: Model, action: Body & { version: number }): Promise<void> {
    const at = Math.max(0, model.offset + action.shift);
    const expected = predict(model, at, action);
    const answer = await patch(action.version, url, at, action);
    const field = action.version === 3 ? 'upload-incomplete' : 'upload-complete';
    const complete = answer.headers[field] === (action.version === 3 ? '?0' : '?1');
    expect([answer.status, complete]).toEqual([expected, expected === 201 && model.state === 'complete']);
  }

  /** Moves the model on; returns the status of the answer. */
  function predict(model: Model, at: number, wish: Body & { version: number }): number {
    const modern = wish.version >= 7;
    const { offset, state } = model;
    if (state === 'gone') return modern ? 410 : 404;
    if (state === 'complete') {
      const valid = at === offset && wish.complete && wish.size === 0 && !wish.chunked;
      return valid && ![6, 7].includes(wish.version) ? 201 : 400;
    }
    if (at !== offset) return 409;
    const lengths = [
      model.length,
      claimOf(at, wish),
      wish.complete && !wish.chunked ? at + wish.size : undefined,
    ];
    const [length, ...others] = lengths.filter((value) => value !== undefined);
    if (others.some((other) => other !== length)) return 400;
    if (length !== undefined && offset + (wish.chunked ? 0 : wish.size) > length) return 400;
    model.length = length;
    if (length === offset)
      model.state = 'complete'; // whatever else the body brings
    else if (length !== undefined && offset + wish.size > length) model.state = 'gone';
    else model.offset += wish.size;
    if (model.state === 'gone') return 400;
    if (wish.complete && model.length === undefined) model.length = model.offset;
    if (model.offset === model.length) model.state = 'complete';
    if (model.state === 'complete') return 201;
    if (wish.complete) return 400; // it ended before the length that was said
    return modern ? 204 : 201;
  }

  /** An append whose connection breaks while its body arrives: any number of its bytes may be kept. */
  async function cut(url: string, model: Model, wish: Body & { after: number }): Promise<void> {
    const from = model.offset;
    const plain = { ...wish, chunked: false, length: undefined, size: wish.size + 1 };
    const trial = { ...model };
    if (predict(trial, from, { ...plain, version: 8 }) === 400) return;
    const epochOf = async () => (await stage.engine.row(idOf(url))).epoch;
    const epoch = await epochOf();
    const taken = async () => {
      while ((await epochOf()) === epoch) await setImmediate(); // until the append has its lease
    };
    const sent = wish.after % plain.size;
    await expect(patch(8, url, from, plain, { cutAfter: sent, beforeCut: taken })).rejects.toThrow(
      'ended without',
    );
    const stands = Number((await ask(8, 'HEAD', url, {})).headers['upload-offset']);
    expect(stands).toBeGreaterThanOrEqual(from);
    expect(stands).toBeLessThanOrEqual(from + sent);
    Object.assign(model, { offset: stands, length: trial.length });
  }

  /** Both protocols say of the upload what the model knows. */
  async function look(url: string, model: Model): Promise<void> {
    const answer = await ask(8, 'HEAD', url, {});
    if (model.state === 'gone') return expect(answer.status).toBe(410);
    expect(answer.headers).toMatchObject({
      'upload-offset': String(model.offset),
      'upload-complete': model.state === 'complete' ? '?1' : '?0',
    });
    expect(answer.headers['upload-length']).toBe(model.length?.toString());
    expect(offsetOf(await tus('HEAD', url))).toBe(model.offset);
  }

  async function end(url: string, model: Model): Promise<void> {
    const id = idOf(url);
    if (model.state === 'receiving') {
      const size = (model.length ?? model.offset) - model.offset;
      await append(url, model, {
        ...{ shift: 0, size, complete: true, chunked: false },
        length: undefined,
        version: 8,
      });
    }
    expect(stage.engine.finished.filter((done) => done === id)).toHaveLength(
      model.state === 'complete' ? 1 : 0,
    );
    const digest = model.state === 'complete' ? sha256(FILE.subarray(0, model.offset)) : undefined;
    expect(await stage.engine.digest(id)).toBe(digest);
  }
});
