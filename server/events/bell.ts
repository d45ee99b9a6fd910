/** Lets a loop sleep until there may be work. */
export interface Bell {
  /** Ends the current wait, or the next one when nobody is waiting: a ring is never missed. */
  ring: () => void;
  /** Resolves at a ring (true), or after `ms`. One waiter at a time. */
  wait: (ms: number) => Promise<boolean>;
}

export function createBell(): Bell {
  let rung = false;
  let wake = (): void => undefined;
  return {
    ring() {
      rung = true;
      wake();
    },
    async wait(ms) {
      // A loop of SQLite queries and missed rings alone would never let timers and sockets have their turn.
      if (rung) await new Promise((resolve) => setImmediate(resolve));
      else
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, ms);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      const called = rung;
      rung = false;
      return called;
    },
  };
}
