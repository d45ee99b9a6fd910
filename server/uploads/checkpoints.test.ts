import { setTimeout as sleep } from 'node:timers/promises';
import { Checkpoints, type Save } from './checkpoints.ts';

const MiB = 1024 * 1024;

/** Notes what is to be saved, and answers what it is told to. */
function saving(answer: boolean): { save: Save; asked: [position: number, last: boolean][] } {
  const asked: [number, boolean][] = [];
  const save: Save = (position, last) => {
    asked.push([position, last]);
    return Promise.resolve(answer);
  };
  return { save, asked };
}

it('saves after a second, after 64 MiB and at the end', async () => {
  const { save, asked } = saving(true);
  const checkpoints = new Checkpoints(10, save);
  checkpoints.pass(20);
  await sleep(700);
  expect(asked).toEqual([]);
  await sleep(500);
  expect(asked).toEqual([[20, false]]);
  checkpoints.pass(20 + 64 * MiB);
  await sleep(0);
  checkpoints.pass(30 + 64 * MiB);
  await checkpoints.end(30 + 64 * MiB);
  expect(asked.slice(1)).toEqual([
    [20 + 64 * MiB, false],
    [30 + 64 * MiB, true],
  ]);
});

it('asks again for what was not saved, but not at once, however much came', async () => {
  const { save, asked } = saving(false);
  const checkpoints = new Checkpoints(0, save);
  checkpoints.pass(100 * MiB);
  await sleep(300);
  expect(asked).toEqual([[100 * MiB, false]]);
  checkpoints.pass(101 * MiB);
  await sleep(1_000);
  expect(asked.slice(1)).toEqual([[101 * MiB, false]]);
  checkpoints.pass(170 * MiB);
  await sleep(100);
  expect(asked.slice(2)).toEqual([[170 * MiB, false]]);
  await checkpoints.end(0);
  await sleep(1_200);
  expect(asked).toHaveLength(3);
});

it('tells of a failure, and saves nothing after it', async () => {
  const asked: number[] = [];
  const checkpoints = new Checkpoints(0, (position) => {
    asked.push(position);
    return Promise.reject(new Error('the disk is full'));
  });
  checkpoints.pass(64 * MiB);
  await sleep(0);
  expect(() => checkpoints.check()).toThrow('the disk is full');
  checkpoints.pass(200 * MiB);
  await expect(checkpoints.end(200 * MiB)).rejects.toThrow('the disk is full');
  expect(asked).toEqual([64 * MiB]);
});
