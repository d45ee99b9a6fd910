import { pino } from 'pino';
import { whenThere } from './waiting.ts';

const logger = pino({ level: 'silent' });
const failing = (times: number, error: unknown) => {
  const attempts = { count: 0 };
  const work = (): Promise<number> =>
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
    ++attempts.count > times ? Promise.resolve(attempts.count) : Promise.reject(error);
  return { attempts, work };
};
const withCode = (code: string, message = 'x') => Object.assign(new Error(message), { code });
const withStatus = (httpStatusCode: number) =>
  Object.assign(new Error('x'), { $metadata: { httpStatusCode } });

it.each([
  ['a connection refused', withCode('ECONNREFUSED')],
  ['one that is reset', withCode('ECONNRESET')],
  [
    'a host with two addresses',
    Object.assign(new AggregateError([new Error('x')]), { code: 'ECONNREFUSED' }),
  ],
  ['a 503 of S3', withStatus(503)],
  ['PostgreSQL that is starting up', withCode('57P03')],
  ['a driver without a code', new Error('Connection terminated unexpectedly')],
])('tries again after %s', async (_what, error) => {
  const { work } = failing(2, error);
  expect(await whenThere('it', work, { logger, patienceMs: 60_000 })).toBe(3);
});

it.each([
  ['a wrong password', withCode('28P01')],
  ['a database that is missing', withCode('3D000')],
  ['a bucket that is missing', withStatus(404)],
  ['a key that may not', withStatus(403)],
  ['a bug', new TypeError('x')],
])('throws %s at once', async (_what, error) => {
  const { attempts, work } = failing(1, error);
  await expect(whenThere('it', work, { logger, patienceMs: 60_000 })).rejects.toBe(error);
  expect(attempts.count).toBe(1);
});

it('gives up, and says for what it waited', async () => {
  const { attempts, work } = failing(Infinity, withCode('ECONNREFUSED', 'connect ECONNREFUSED'));
  await expect(whenThere('the database', work, { logger, patienceMs: 300 })).rejects.toThrow(
    'the database was not there for 0.3 s (START_TIMEOUT): connect ECONNREFUSED',
  );
  expect(attempts.count).toBeGreaterThan(1);
});
