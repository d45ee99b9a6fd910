import { jest } from '@jest/globals';
import type { Db } from '../../db/dialect.ts';
import type { Context } from '../context.ts';
import { Room } from './room.ts';

afterEach(() => jest.restoreAllMocks());

/** A disk with so many bytes free, of which 100 are to stay so; what unfinished uploads were announced to bring is not counted. */
function open(disk: { free: number }): Room {
  const ctx = {
    config: { uploads: { diskReserve: false, diskFloor: 100 } },
    db: {} as Db,
    storage: { freeBytes: () => Promise.resolve(disk.free) },
  };
  return new Room(ctx as unknown as Context);
}

it('lets in what leaves the floor free, and counts it until it asks the disk again', async () => {
  const room = open({ free: 1_000 });
  await room.assert(900, { announced: true });
  await expect(room.assert(901, { announced: true })).rejects.toMatchObject({ status: 507 });
});

it('asks the disk again although the clock was set back', async () => {
  const disk = { free: 1_000 };
  const room = open(disk);
  await room.assert(1, { announced: true });
  disk.free = 50;
  const real = Date.now.bind(Date);
  jest.spyOn(Date, 'now').mockImplementation(() => real() - 3_600_000);
  await new Promise((resolve) => setTimeout(resolve, 300));
  await expect(room.assert(1, { announced: true })).rejects.toMatchObject({ status: 507, code: 'disk_full' });
});
