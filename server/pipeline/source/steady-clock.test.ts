import { mayJump, SteadyClock } from './steady-clock.ts';

/** Times of packets of 1 s, straightened: `[stream, decode time]`. */
const straightened = (...packets: [number, number][]): number[] => {
  const clock = new SteadyClock();
  return packets.map(([stream, time]) => time + clock.offsetAt(stream, time, 1));
};

it('leaves what goes on as it is, also with a pause', () => {
  const packets: [number, number][] = [[0, 5], [1, 5.5], [0, 6], [0, 12], [1, 13], [0, 13]]; // prettier-ignore
  expect(straightened(...packets)).toEqual([5, 5.5, 6, 12, 13, 13]);
});

it('takes a jump out of all streams, forward and back', () => {
  expect(straightened([0, 1], [1, 1], [0, 5000], [1, 5000], [0, 0], [1, 0], [0, 1])).toEqual([
    1, 1, 2, 2, 3, 3, 4,
  ]);
});

it('knows a stream that begins after a jump by the others', () => {
  expect(straightened([0, 1], [0, 2], [1, 5000], [0, 5001])).toEqual([1, 2, 2, 3]);
});

it('is for containers that are put together as they are', () => {
  expect(['mpegts', 'mpeg', 'ogg', 'mov,mp4,m4a,3gp,3g2,mj2', 'mpegvideo'].map(mayJump)).toEqual([
    ...[true, true, true, false, false],
  ]);
});
