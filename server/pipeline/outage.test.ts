import { JobError } from '../jobs/job.ts';
import { postponedByStorage } from './outage.ts';

const usable = { check: () => Promise.resolve() };
const away = { check: () => Promise.reject(new Error('the bucket can not be used')) };
const never = new AbortController().signal;
const broken = new Error('connect ECONNREFUSED');

it('waits for storage that can not be used at all', async () => {
  const postponed = await postponedByStorage(broken, away, never);
  expect(postponed?.postponement).toMatchObject({ code: 'storage_unavailable' });
  const { delayMs } = postponed!.postponement;
  expect([delayMs >= 7_500, delayMs <= 22_500]).toEqual([true, true]);
});

const file = new JobError({ code: 'not_decodable', message: 'It is damaged.', permanent: true });
const full = Object.assign(new Error('no space'), { code: 'ENOSPC' });
it.each([
  ['an object that fails while storage works', broken, usable],
  ['a file that is at fault', file, away],
  ['a disk that is full', full, away],
])('counts %s', async (_, error, storage) =>
  expect(await postponedByStorage(error, storage, never)).toBeUndefined(),
);

it('asks nobody for a job that is stopped, and waits for no answer of one that is stopped meanwhile', async () => {
  expect(await postponedByStorage(broken, away, AbortSignal.abort())).toBeUndefined();
  const stop = new AbortController();
  const silent = { check: () => new Promise<void>(() => stop.abort()) };
  expect(await postponedByStorage(broken, silent, stop.signal)).toBeUndefined();
});
