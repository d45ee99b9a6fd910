/** The life of submitting and looking: loops that run as long as a worker does. */
import { setTimeout as sleep } from 'node:timers/promises';
import { onCommit } from '../../db/transaction.ts';
import { createBell, type Bell } from '../events/bell.ts';
import { hasNews } from '../events/events.ts';
import { pollDue, reconcileDue } from './poll.ts';
import type { Remote } from './remote.ts';
import { lookUpDue, submitDue } from './submit.ts';

/** How often the database is asked for rows that are due; submissions of this process ring at once. */
const TICK_MS = 1_000;
/** After an error of the database. */
const RETRY_MS = 1_000;

export interface Courier {
  /** Starts nothing more; resolves when what runs has ended. */
  stop(): Promise<void>;
}

/** Starts submitting and looking at once. An error never ends it: it is logged, and tried again. */
export function startCourier(remote: Remote): Courier {
  let stopping = false;
  const bells: Bell[] = [];
  const loop = async (bell: Bell, work: () => Promise<number>): Promise<void> => {
    bells.push(bell);
    while (!stopping)
      try {
        if ((await work()) === 0) await bell.wait(TICK_MS);
      } catch (error) {
        remote.logger.error({ err: error }, 'the attempts can not be worked on; trying again');
        await sleep(RETRY_MS);
      }
  };
  const submitting = createBell();
  const silence = onCommit(remote.db, (trx) => {
    if (hasNews(trx)) submitting.ring();
  });
  const loops = [
    loop(submitting, () => submitDue(remote)),
    loop(createBell(), async () => (await lookUpDue(remote)) + (await reconcileDue(remote))),
    loop(createBell(), () => pollDue(remote)),
  ];
  return {
    async stop() {
      stopping = true;
      silence();
      for (const bell of bells) bell.ring();
      await Promise.all(loops);
    },
  };
}
