/** A bucket of the bench, behind a process that counts what it is asked for: the proxy in front of Ceph, or the S3 in memory. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { TestS3 } from '../../test/services/s3.ts';

/** From the process's start. */
export interface BucketCounts {
  calls: number;
  /** Bytes of objects and parts that were sent to it. */
  bytes: number;
}

export interface CountedBucket {
  access: TestS3;
  counts(): Promise<BucketCounts>;
  close(): Promise<void>;
}

/** In the parent: asks a process that answers by `answerCounts`, and ends it. */
export const countsOf = (child: ChildProcess): Pick<CountedBucket, 'counts' | 'close'> => ({
  async counts() {
    const answer = once(child, 'message') as Promise<[BucketCounts]>;
    child.send('counts');
    return (await answer)[0];
  },
  async close() {
    child.kill();
    await once(child, 'exit');
  },
});

/** In the process: says on which port it listens, then what it counted whenever it is asked. Ends with its parent. */
export function answerCounts(port: number, counts: BucketCounts): void {
  process.on('message', () => process.send?.(counts));
  process.on('disconnect', () => process.exit(0));
  process.send?.(port);
}
