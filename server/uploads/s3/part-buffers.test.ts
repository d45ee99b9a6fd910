import { MOST_PARTS, PartBuffers } from './part-buffers.ts';

it('shares memory out evenly, and lets everybody have a buffer', () => {
  const buffers = new PartBuffers(80, 8);
  const shares: number[] = [];
  for (let users = 1; users <= 20; users++) {
    buffers.join();
    shares.push(buffers.share(8));
  }
  expect(shares.slice(0, 6)).toEqual([MOST_PARTS, 5, 3, 2, 2, 1]);
  expect(shares.at(-1)).toBe(1);
  expect(buffers.share(1000)).toBe(1); // of an upload with larger parts
});

it('uses buffers again, those of the usual size and no more than the memory holds', () => {
  const buffers = new PartBuffers(16, 8);
  buffers.join();
  const taken = [buffers.take(8), buffers.take(8), buffers.take(8), buffers.take(5)];
  expect(taken.map(({ length }) => length)).toEqual([8, 8, 8, 5]);
  for (const buffer of taken) buffers.giveBack(buffer);
  const again = [buffers.take(8), buffers.take(8), buffers.take(8), buffers.take(5)];
  expect(again.map((buffer) => taken.includes(buffer))).toEqual([true, true, false, false]);
  buffers.leave();
});
